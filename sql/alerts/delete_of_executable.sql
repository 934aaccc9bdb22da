-- Ends all alerts of a job or call.
DELETE FROM alerts WHERE executable_id = :executable_id;
