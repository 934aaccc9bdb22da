-- The oldest member of a summary.
SELECT event, data, created_at
  FROM deliveries
 WHERE folded_into = :summary_id AND state = 'FOLDED'
 ORDER BY id
 LIMIT :limit;
