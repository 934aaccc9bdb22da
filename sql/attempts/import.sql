-- An attempt of another database. No row: its execution is not here, or it is here already.
INSERT INTO attempts (execution_id, number, start_time, end_time, task_guid, message)
SELECT id, :number, :start_time, :end_time, :task_guid, :message FROM executions WHERE guid = :execution_guid
    ON CONFLICT DO NOTHING;
