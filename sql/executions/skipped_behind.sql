-- The number of executions that were skipped because of another one, counted up to a bound, and the last of
-- them, by executions_skipped.
SELECT COUNT(*) AS total, COALESCE(MAX(id), 0) AS last_id
  FROM (SELECT id FROM executions WHERE skipped_behind = :behind ORDER BY skipped_behind, id
        LIMIT :most) AS skipped;
