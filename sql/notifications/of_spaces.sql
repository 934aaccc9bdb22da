-- The notifications of some spaces (a JSON array) that may have to report something, by
-- notifications_by_name.
SELECT n.id, n.guid, n.space_guid, n.name, n.url, n.format, n.secret, n.headers, n.events, n.job_guids,
       n.call_guids, n.label_selector, n.after_failures, n.remind_after_seconds, n.enabled, n.disabled_reason,
       n.created_at, n.updated_at
  FROM notifications AS n
 WHERE n.space_guid IN (SELECT value FROM json_each(:space_guids)) --sqlite
--pg WHERE n.space_guid = ANY (ARRAY (SELECT value FROM json_array_elements_text(CAST(:space_guids AS JSON))))
 ORDER BY n.id
-- Keeps them from being deleted before their deliveries are written.
--pg FOR KEY SHARE
;
