-- At start: the process before is gone, and with it what it was sending.
UPDATE notifications SET owner = NULL WHERE owner IS NOT NULL;
