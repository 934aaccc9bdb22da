-- Alerts of a job or call, for some notifications (a JSON array). No row for those in which it is active
-- already.
INSERT INTO alerts (notification_id, executable_id, event, since, data, remind_at)
SELECT json_extract(value, '$.id'), --sqlite
--pg SELECT n.id,
       CAST(:executable_id AS BIGINT), CAST(:event AS TEXT), CAST(:since AS BIGINT), CAST(:data AS TEXT),
       json_extract(value, '$.remind_at') FROM json_each(:notifications) WHERE TRUE --sqlite
--pg   n.remind_at FROM json_to_recordset(CAST(:notifications AS JSON)) AS n (id BIGINT, remind_at BIGINT)
    ON CONFLICT (notification_id, executable_id, event) DO NOTHING
RETURNING notification_id;
