-- Codes that would have expired by now, by used_codes_ended.
DELETE FROM used_codes WHERE ends_at < :before;
