-- The newest :limit executions of these schedules before :before_id, by executions_by_schedule. Each schedule
-- contributes at most :limit.
--pg SELECT e.id
--pg   FROM json_array_elements_text(CAST(:owners AS JSON)) AS owner (id)
--pg  CROSS JOIN LATERAL (SELECT e.id FROM executions AS e
--pg                       WHERE e.schedule_id = CAST(owner.id AS BIGINT) AND e.id < :before_id
--pg                       ORDER BY e.id DESC LIMIT :limit) AS e
SELECT e.id --sqlite
  FROM json_each(:owners) AS owner --sqlite
 CROSS JOIN executions AS e --sqlite
 WHERE e.id IN (SELECT id FROM executions --sqlite
                 WHERE schedule_id = owner.value AND id < :before_id ORDER BY id DESC LIMIT :limit) --sqlite
 ORDER BY e.id DESC
 LIMIT :limit;
