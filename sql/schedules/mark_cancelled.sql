-- What is PENDING of the schedule up to :up_to is cancelled, at once for every reader; its rows are changed
-- in batches.
UPDATE schedules SET cancelled_up_to = :up_to, cancelled_at = :now, cancel_reason = :reason WHERE id = :id;
