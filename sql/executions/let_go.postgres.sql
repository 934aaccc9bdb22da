-- What one hand had that is not under way as a call: anybody may take it. A call that has got under way since its calls were ended stays
-- in that hand, which is missing from then on: see instances/missing.
UPDATE executions SET owner = NULL WHERE owner = :fence AND NOT (kind = 'call' AND state = 'RUNNING');
