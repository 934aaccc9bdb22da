-- A fire time got no execution because too many of its schedule are PENDING. Counts it on the newest of
-- these, by executions_pending. No row: the fire time has an execution, or none is PENDING.
UPDATE executions
   SET more_fire_times = more_fire_times + :more
 WHERE id = (SELECT MAX(p.id)
               FROM executions AS p
              WHERE p.executable_id = :executable_id AND p.schedule_id = :schedule_id AND p.state = 'PENDING')
   AND NOT EXISTS (SELECT 1 FROM executions AS f WHERE f.schedule_id = :schedule_id
                   AND f.scheduled_time = :scheduled_time);
