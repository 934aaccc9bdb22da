-- The clock that counts.
SELECT now_nanos();
