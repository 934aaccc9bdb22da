-- Uses up a code. No row: it was used before, or too many are stored. The primary key makes a second use
-- fail.
INSERT INTO used_codes (code, ends_at)
SELECT CAST(:code AS TEXT), CAST(:ends_at AS BIGINT)
 WHERE (SELECT COUNT(*) FROM used_codes) < :maximum
    ON CONFLICT (code) DO NOTHING;
