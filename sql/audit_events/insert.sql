-- Runs in the transaction of the change that the event records.
INSERT INTO audit_events (guid, created_at, type, actor_guid, actor_type, actor_name, target_guid,
                          target_type,
                          target_name, data, space_guid, request_id)
VALUES (:event_guid, :now, :event_type, :actor_guid, :actor_type, :actor_name, :target_guid, :target_type,
        :target_name, :event_data,
        :event_space, :event_request);
