-- Writes what a client may change, guarded by the version that the client saw. No row: it was changed or
-- deleted meanwhile. The active alerts of an Alertmanager are sent again at once.
UPDATE notifications
   SET name = :name, url = :url, format = :format, secret = :secret, headers = :headers, events = :events,
       job_guids = :job_guids, call_guids = :call_guids, label_selector = :label_selector,
       after_failures = :after_failures, remind_after_seconds = :remind_after_seconds, enabled = :enabled,
       disabled_reason = :disabled_reason, repeat_at = :repeat_at, updated_at = :updated_at
 WHERE id = :id AND updated_at = :seen_updated_at;
