-- A job or call has succeeded, so it is not overdue any more.
DELETE FROM alerts WHERE executable_id = :executable_id AND event = 'overdue';
