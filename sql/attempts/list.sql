-- The attempts of an execution that another one followed, in their order.
SELECT number, start_time, end_time, task_guid, message FROM attempts WHERE execution_id = :execution_id ORDER BY number;
