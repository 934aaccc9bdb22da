-- How many fire times have come and are not claimed yet, by schedules_due alone; counted up to a bound.
SELECT COUNT(*) AS total
  FROM (SELECT 1 FROM schedules WHERE next_fire_time <= :now LIMIT :most) AS due;
