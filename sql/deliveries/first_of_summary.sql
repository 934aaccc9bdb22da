-- The first that a summary tells of.
SELECT event, data, created_at
  FROM deliveries
 WHERE folded_into = :summary_id AND state = 'FOLDED'
 ORDER BY id
 LIMIT :limit;
