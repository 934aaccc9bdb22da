-- The job or call is being deleted.
DELETE FROM streaks WHERE executable_id = :executable_id;
