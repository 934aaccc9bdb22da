-- Of a job or call that is deleted.
DELETE FROM streaks WHERE executable_id = :executable_id;
