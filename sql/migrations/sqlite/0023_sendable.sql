-- What waits or is sent, without the members of summaries, of which a receiver that hangs may have thousands.
CREATE INDEX deliveries_sendable ON deliveries (notification_id, id) WHERE due_at IS NOT NULL;
