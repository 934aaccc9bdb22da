-- A page of the history of one schedule, newest first, by executions_by_schedule.
SELECT e.id, e.guid, s.guid, e.scheduled_time, e.state, e.note, e.message, e.task_guid, e.start_time, e.end_time
  FROM (SELECT id
          FROM executions
         WHERE schedule_id = :owner_id AND id < :before_id
         ORDER BY id DESC
         LIMIT :limit OFFSET :offset) AS page
  JOIN executions AS e ON e.id = page.id
  LEFT JOIN schedules AS s ON s.id = e.schedule_id
 ORDER BY page.id DESC;
