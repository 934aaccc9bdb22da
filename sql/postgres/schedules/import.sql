-- One of another database, with its guid and its times. No row: its guid is here already, or what it runs is not.
INSERT INTO schedules (guid, executable_id, enabled, expression, next_fire_time, planned_at, created_at, updated_at)
SELECT :guid, id, :enabled, :expression, :next_fire_time, :now, :created_at, :updated_at
  FROM executables
 WHERE guid = :executable_guid AND kind = :kind AND deleted_at IS NULL
    ON CONFLICT DO NOTHING;
