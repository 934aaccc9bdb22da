-- A schedule with cancellations that remain to be recorded, by schedules_cancelled. PostgreSQL locks its
-- executable before the executions, as a deletion does, and skips one that another process has locked.
SELECT s.id, s.executable_id, s.cancelled_up_to, s.cancelled_at, s.cancel_reason
  FROM schedules AS s CROSS JOIN executables AS x
 WHERE s.cancelled_up_to IS NOT NULL AND x.id = s.executable_id
 ORDER BY s.id
 LIMIT 1
--pg FOR NO KEY UPDATE OF x SKIP LOCKED
;
