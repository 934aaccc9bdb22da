-- Deliveries about a job or call, for some notifications (a JSON array). Runs in the transaction of the
-- change that they report.
INSERT INTO deliveries (guid, notification_id, executable_id, event, data, state, created_at, due_at)
SELECT json_extract(value, '$.guid'), json_extract(value, '$.id'), --sqlite
--pg SELECT n.guid, n.id,
       CAST(:executable_id AS BIGINT), CAST(:event AS TEXT), CAST(:data AS TEXT), 'WAITING',
       CAST(:now AS BIGINT), CAST(:due_at AS BIGINT)
  FROM json_each(:notifications); --sqlite
--pg FROM json_to_recordset(CAST(:notifications AS JSON)) AS n (id BIGINT, guid TEXT);
