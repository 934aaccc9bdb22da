-- The instants of a schedule that have an execution, from :from on, by executions_by_fire_time.
SELECT scheduled_time
  FROM executions
 WHERE schedule_id = :schedule_id AND scheduled_time >= :from
 ORDER BY scheduled_time
 LIMIT :limit;
