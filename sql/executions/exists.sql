-- Whether there is an execution of that guid, ended or not, by the unique index of guids.
SELECT id FROM executions WHERE guid = :guid;
