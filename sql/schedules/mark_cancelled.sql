-- Cancels the schedule's PENDING executions up to :up_to, at once for every reader. Their rows are changed
-- later, in batches.
UPDATE schedules SET cancelled_up_to = :up_to, cancelled_at = :now, cancel_reason = :reason WHERE id = :id;
