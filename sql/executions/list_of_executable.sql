-- A page of the history of one executable, newest first. OFFSET skips entries of executions_by_executable, not whole rows.
SELECT e.id, e.guid, s.guid AS schedule_guid, e.scheduled_time, e.state, e.note, e.message, e.task_guid, e.start_time, e.end_time
  FROM (SELECT id
          FROM executions
         WHERE executable_id = :owner_id AND id < :before_id
         ORDER BY id DESC
         LIMIT :limit OFFSET :offset) AS page
 CROSS JOIN executions AS e
  LEFT JOIN schedules AS s ON s.id = e.schedule_id
 WHERE e.id = page.id
 ORDER BY page.id DESC;
