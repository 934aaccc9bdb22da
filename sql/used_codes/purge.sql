-- Codes that would have ended anyway, by used_codes_ended.
DELETE FROM used_codes WHERE ends_at < :before;
