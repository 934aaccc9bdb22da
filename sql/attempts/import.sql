-- An attempt from another database. No row: its execution is missing here, or the attempt exists already.
INSERT INTO attempts (execution_id, number, start_time, end_time, task_guid, message)
SELECT id, :number, :start_time, :end_time, :task_guid, :message FROM executions WHERE guid = :execution_guid
    ON CONFLICT DO NOTHING;
