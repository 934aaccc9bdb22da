-- The number of waiting deliveries, counted up to a bound, by deliveries_due.
SELECT COUNT(*) AS total FROM (SELECT 1 AS one FROM deliveries WHERE due_at IS NOT NULL LIMIT :most) AS
       waiting;
