-- The clock was set: the wait is for a span of time.
UPDATE strays SET doubt_until = doubt_until + :by;
