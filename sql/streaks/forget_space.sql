-- A space without notifications keeps no streaks: they start over with its first notification.
UPDATE streaks
   SET failures = 0, failing_since = NULL
 WHERE failures > 0
   AND executable_id IN (SELECT x.id FROM executables AS x
                          WHERE x.space_guid = :space_guid AND x.kind IN ('job', 'call')
   AND x.deleted_at IS NULL);
