-- The number of members of a summary, by event, by deliveries_folded.
SELECT event, COUNT(*) AS total
  FROM deliveries
 WHERE folded_into = :summary_id AND state = 'FOLDED'
 GROUP BY event
 ORDER BY event;
