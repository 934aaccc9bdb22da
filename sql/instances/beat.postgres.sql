-- Renews the lease and looks for work in one round trip, so that an idle instance sends no other statement:
-- whether there is something to take over (instances/now), what the scheduler looks for (executions/look),
-- when the notifier is needed next (notifications/is_work_due), and whether the watcher is. All by the first
-- entries of indexes, and after :since as in executions/look. No row is renewed if the lease had ended and
-- was taken over. The clock is read last, because the time before it counts as part of the round trip.
WITH renewed AS (UPDATE instances SET lease_until = now_nanos() + :lease WHERE id = :id RETURNING id)
SELECT EXISTS (SELECT 1 FROM renewed) AS is_renewed,
       EXISTS (SELECT 1
                 FROM instances
                WHERE id <> :id AND (lease_until < now_nanos() OR lease_until > now_nanos() + :lease))
       OR EXISTS (SELECT 1
                    FROM executions AS e
                   WHERE e.owner IS NOT NULL
                     AND NOT EXISTS (SELECT 1 FROM instances AS i WHERE i.id = e.owner))
           AS is_to_take_over,
       EXISTS (SELECT 1 FROM schedules WHERE planned_at > :ahead AND +next_fire_time > :ahead)
       OR EXISTS (SELECT 1
                 FROM schedules AS s JOIN executables AS x ON x.id = s.executable_id
                WHERE s.completed_at > :ahead AND s.deleted_at IS NULL AND x.deleted_at IS NULL)
       OR (SELECT dispatch_time FROM executions WHERE kind = 'job' AND dispatch_time >= 9223372036854775807
            ORDER BY kind, dispatch_time, id LIMIT 1) IS NOT NULL
       OR (SELECT dispatch_time FROM executions WHERE kind = 'call' AND dispatch_time >= 9223372036854775807
            ORDER BY kind, dispatch_time, id LIMIT 1) IS NOT NULL
       OR (SELECT cancel_requested_at
             FROM executions
            WHERE owner = :id AND state = 'RUNNING' AND kind = 'call' AND cancel_requested_at IS NOT NULL
            ORDER BY cancel_requested_at LIMIT 1) IS NOT NULL
           AS is_to_look,
       LEAST((SELECT MIN(next_fire_time) FROM schedules WHERE next_fire_time >= :since),
             (SELECT dispatch_time FROM executions WHERE kind = 'job' AND dispatch_time >= :since
               ORDER BY kind, dispatch_time, id LIMIT 1),
             (SELECT dispatch_time FROM executions WHERE kind = 'call' AND dispatch_time >= :since
               ORDER BY kind, dispatch_time, id LIMIT 1)) AS next_due,
       EXISTS (SELECT 1 FROM strays)
       OR EXISTS (SELECT 1 FROM executions WHERE state = 'RUNNING' AND owner IS NULL)
       OR EXISTS (SELECT 1 FROM executions WHERE owner = :id AND state = 'RUNNING' AND kind = 'job') AS has_tasks,
       LEAST((SELECT MIN(due_at) FROM deliveries WHERE due_at IS NOT NULL),
             (SELECT MIN(repeat_at) FROM notifications WHERE repeat_at IS NOT NULL),
             (SELECT MIN(remind_at) FROM alerts WHERE remind_at IS NOT NULL),
             (SELECT MIN(success_due_at) FROM streaks WHERE success_due_at IS NOT NULL)) AS next_told,
       now_nanos() AS now;
