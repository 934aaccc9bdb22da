-- The executable of the schedule with this guid, deleted schedules included.
SELECT x.guid AS executable_guid FROM schedules AS s JOIN executables AS x ON x.id = s.executable_id
 WHERE s.guid = :guid;
