-- After the history of an imported job: records which execution its state comes from, by
-- executions_by_executable. Unless :from_history, the state in the other database counts.
UPDATE executables
   SET state = CASE WHEN NOT :from_history THEN state
                    ELSE COALESCE((SELECT e.state
                                     FROM executions AS e
                                    WHERE e.executable_id = executables.id AND e.end_time IS NOT NULL
                                    ORDER BY e.id DESC
                                    LIMIT 1), state) END,
       state_execution_id = COALESCE((SELECT e.id
                                        FROM executions AS e
                                       WHERE e.executable_id = executables.id AND e.end_time IS NOT NULL
                                       ORDER BY e.id DESC
                                       LIMIT 1), 0)
 WHERE guid = :guid AND kind = 'job';
