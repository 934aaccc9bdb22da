-- Uses a code. No row: it was used, or there are too many; the primary key makes two uses one.
INSERT INTO used_codes (code, ends_at)
SELECT CAST(:code AS TEXT), CAST(:ends_at AS BIGINT)
 WHERE (SELECT COUNT(*) FROM used_codes) < :maximum
    ON CONFLICT (code) DO NOTHING;
