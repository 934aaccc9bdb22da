-- Those of some spaces (a JSON array), by notifications_by_name, for what there is to tell.
SELECT n.id, n.guid, n.space_guid, n.name, n.url, n.format, n.secret, n.headers, n.events, n.job_guids,
       n.call_guids, n.label_selector, n.after_failures, n.remind_after_seconds, n.enabled, n.disabled_reason,
       n.created_at, n.updated_at
  FROM notifications AS n
 WHERE n.space_guid IN (SELECT value FROM json_each(:space_guids)) --sqlite
--pg WHERE n.space_guid = ANY (ARRAY (SELECT value FROM json_array_elements_text(CAST(:space_guids AS JSON))))
 ORDER BY n.id
-- None of them is deleted before what is told is written.
--pg FOR KEY SHARE
;
