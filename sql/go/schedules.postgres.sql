-- The schedules of the Go service, oldest first, each as JSON, because columns and types differ between its
-- versions.
DECLARE go_rows NO SCROLL CURSOR FOR
 SELECT CAST(to_jsonb(t) AS TEXT) AS row
   FROM schedules AS t
  ORDER BY to_jsonb(t) ->> 'created_at' COLLATE "C", to_jsonb(t) ->> 'guid' COLLATE "C";
