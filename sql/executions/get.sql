-- One execution of one executable, by the unique index of guid: IS TRUE keeps the planner from choosing another one.
SELECT e.id, e.guid, s.guid AS schedule_guid, e.scheduled_time, e.state, e.note, e.message, e.task_guid, e.start_time, e.end_time
  FROM executions AS e
  LEFT JOIN schedules AS s ON s.id = e.schedule_id
 WHERE e.guid = :guid AND (e.executable_id = :executable_id) IS TRUE;
