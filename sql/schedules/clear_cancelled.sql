-- All cancellations up to :up_to are recorded. No row: a later mark was set.
UPDATE schedules SET cancelled_up_to = NULL WHERE id = :id AND cancelled_up_to = :up_to;
