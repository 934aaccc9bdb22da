-- The number of fire times that are due and not claimed, counted up to a bound, by schedules_due alone.
SELECT COUNT(*) AS total
  FROM (SELECT 1 FROM schedules WHERE next_fire_time <= :now LIMIT :most) AS due;
