-- A job that was just taken, after its history: which execution its state is the outcome of, by
-- executions_by_executable; what the other database said of the state counts unless :from_history.
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
