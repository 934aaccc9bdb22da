-- After a start: the previous process is gone, and nothing is being sent.
UPDATE notifications SET owner = NULL WHERE owner IS NOT NULL;
