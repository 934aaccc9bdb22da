-- All that lasts of a job or call is over.
DELETE FROM alerts WHERE executable_id = :executable_id;
