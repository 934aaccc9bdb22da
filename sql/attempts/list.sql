-- The finished attempts of an execution, in order. Its current attempt is in `executions`.
SELECT number, start_time, end_time, task_guid, message FROM attempts WHERE execution_id = :execution_id
 ORDER BY number;
