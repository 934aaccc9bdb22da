-- Matching events before :before_id, newest first, among the newest :looked_at of them. Uses
-- audit_events_by_space for one space, otherwise the primary key.
SELECT a.id, a.guid, a.created_at, a.type, a.actor_guid, a.actor_type, a.actor_name, a.target_guid,
       a.target_type,
       a.target_name, a.data, a.space_guid, a.request_id
  FROM (SELECT id
          FROM audit_events
         WHERE id < :before_id AND (CAST(:space_guid AS TEXT) IS NULL OR space_guid = :space_guid)
         ORDER BY id DESC
         LIMIT :looked_at) AS page
 CROSS JOIN audit_events AS a
 WHERE a.id = page.id
   AND (:created_after IS NULL OR a.created_at > :created_after) --sqlite
   AND (:created_before IS NULL OR a.created_at < :created_before) --sqlite
   AND (:spaces IS NULL OR a.space_guid IN (SELECT value FROM json_each(:spaces))) --sqlite
   AND (:types IS NULL OR a.type IN (SELECT value FROM json_each(:types))) --sqlite
   AND (:targets IS NULL OR a.target_guid IN (SELECT value FROM json_each(:targets))) --sqlite
   AND (:actors IS NULL OR a.actor_guid IN (SELECT value FROM json_each(:actors))) --sqlite
--pg AND (CAST(:created_after AS BIGINT) IS NULL OR a.created_at > :created_after)
--pg AND (CAST(:created_before AS BIGINT) IS NULL OR a.created_at < :created_before)
--pg AND (CAST(:spaces AS TEXT) IS NULL
--pg      OR a.space_guid IN (SELECT json_array_elements_text(CAST(CAST(:spaces AS TEXT) AS JSON))))
--pg AND (CAST(:types AS TEXT) IS NULL
--pg      OR a.type IN (SELECT json_array_elements_text(CAST(CAST(:types AS TEXT) AS JSON))))
--pg AND (CAST(:targets AS TEXT) IS NULL
--pg      OR a.target_guid IN (SELECT json_array_elements_text(CAST(CAST(:targets AS TEXT) AS JSON))))
--pg AND (CAST(:actors AS TEXT) IS NULL
--pg      OR a.actor_guid IN (SELECT json_array_elements_text(CAST(CAST(:actors AS TEXT) AS JSON))))
 ORDER BY a.id DESC
 LIMIT :limit;
