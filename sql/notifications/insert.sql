-- No row: the name is taken (notifications_by_name).
INSERT INTO notifications (guid, space_guid, name, url, format, secret, headers, events, job_guids,
                           call_guids,
                           label_selector, after_failures, remind_after_seconds, enabled, disabled_reason,
                           created_at, updated_at)
VALUES (:guid, :space_guid, :name, :url, :format, :secret, :headers, :events, :job_guids, :call_guids,
        :label_selector, :after_failures, :remind_after_seconds, :enabled, :disabled_reason, :created_at,
        :updated_at)
    ON CONFLICT DO NOTHING
RETURNING id;
