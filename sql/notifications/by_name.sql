-- By the unique index notifications_by_name.
SELECT n.id, n.guid, n.space_guid, n.name, n.url, n.format, n.secret, n.headers, n.events, n.job_guids,
       n.call_guids, n.label_selector, n.after_failures, n.remind_after_seconds, n.enabled, n.disabled_reason,
       n.created_at, n.updated_at
  FROM notifications AS n
 WHERE n.space_guid = :space_guid AND n.name = :name;
