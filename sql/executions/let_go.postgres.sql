-- Releases the executions that a lease owns, except calls under way. A call that was started after the
-- lease's calls were ended keeps its owner, a lease that no longer exists: see instances/missing.
UPDATE executions SET owner = NULL WHERE owner = :fence AND NOT (kind = 'call' AND state = 'RUNNING');
