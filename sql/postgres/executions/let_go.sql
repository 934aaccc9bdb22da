-- What one hand had that is not under way as a call: anybody may take it.
UPDATE executions SET owner = NULL WHERE owner = :fence;
