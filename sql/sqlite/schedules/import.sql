-- One of another database, with its guid and its times. No row: its guid is here already, or what it runs is not. In a suspended
-- space it does not fire until that goes on.
INSERT INTO schedules (guid, executable_id, enabled, expression, next_fire_time, planned_at, created_at, updated_at)
SELECT :guid, id, :enabled, :expression,
       CASE (SELECT p.is_suspended FROM service_spaces AS p WHERE p.space_guid = executables.space_guid)
            WHEN 1 THEN NULL ELSE :next_fire_time END,
       :now, :created_at, :updated_at
  FROM executables
 WHERE guid = :executable_guid AND kind = :kind AND deleted_at IS NULL
    ON CONFLICT DO NOTHING;
