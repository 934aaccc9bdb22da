-- A batch of notifications, by key, for another database. Waiting deliveries are not exported.
SELECT n.id, n.guid, n.space_guid, n.name, n.url, n.format, n.secret, n.headers, n.events, n.job_guids,
       n.call_guids, n.label_selector, n.after_failures, n.remind_after_seconds, n.enabled, n.disabled_reason,
       n.created_at, n.updated_at
  FROM notifications AS n
 WHERE n.id > :after_id
 ORDER BY n.id
 LIMIT :limit;
