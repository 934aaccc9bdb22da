-- Creates the missing rows of these (a JSON array of ids in order), so that they can be locked.
INSERT INTO streaks (executable_id)
SELECT value FROM json_each(:ids) WHERE TRUE --sqlite
--pg SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(:ids AS JSON))
    ON CONFLICT (executable_id) DO NOTHING;
