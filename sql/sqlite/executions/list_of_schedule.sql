-- A page of the history of one schedule, newest first, by executions_by_schedule.
SELECT e.id, e.guid, s.guid, e.scheduled_time, e.state, e.note, e.message, e.task_guid, e.start_time, e.end_time
  FROM executions AS e LEFT JOIN schedules AS s ON s.id = e.schedule_id
 WHERE e.schedule_id = :owner_id AND e.id < :before_id
 ORDER BY e.id DESC
 LIMIT :limit OFFSET :offset;
