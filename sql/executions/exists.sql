-- Whether an execution of this guid exists, ended or not, by the unique index of guid.
SELECT id FROM executions WHERE guid = :guid;
