-- The clock was set: the rest of the wait stays the same.
UPDATE strays SET doubt_until = doubt_until + :by;
