-- A page of the notifications of some spaces (a JSON array), or of all, oldest first.
SELECT n.id, n.guid, n.space_guid, n.name, n.url, n.format, n.secret, n.headers, n.events, n.job_guids,
       n.call_guids, n.label_selector, n.after_failures, n.remind_after_seconds, n.enabled, n.disabled_reason,
       n.created_at, n.updated_at
  FROM notifications AS n
 WHERE n.id > :after_id AND n.id <= :last_id
   AND (:all_spaces = 1 OR n.space_guid IN (SELECT value FROM json_each(:space_guids))) --sqlite
--pg AND (CAST(:all_spaces AS BIGINT) = 1
--pg      OR n.space_guid IN (SELECT value FROM json_array_elements_text(CAST(:space_guids AS JSON))))
 ORDER BY n.id
 LIMIT :limit OFFSET :offset;
