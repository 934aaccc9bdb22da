-- Releases the executions that a lease owns, except calls in flight. A call that starts after the lease's
-- calls were ended keeps an owner that no longer exists: see instances/missing.
UPDATE executions SET owner = NULL WHERE owner = :fence AND NOT (kind = 'call' AND state = 'RUNNING');
