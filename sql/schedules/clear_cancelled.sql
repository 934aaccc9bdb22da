-- All cancellations of the schedule are recorded.
UPDATE schedules SET cancelled_up_to = NULL WHERE id = :id;
