-- A schedule whose cancellations are not all recorded yet, by schedules_cancelled. PostgreSQL skips one that another process is at.
SELECT id, executable_id, cancelled_up_to, cancelled_at, cancel_reason
  FROM schedules
 WHERE cancelled_up_to IS NOT NULL
 ORDER BY id
 LIMIT 1
--pg FOR UPDATE SKIP LOCKED
;
