-- The earliest planned fire time: the first entry of schedules_due.
SELECT MIN(next_fire_time) AS next_fire_time FROM schedules WHERE next_fire_time IS NOT NULL;
