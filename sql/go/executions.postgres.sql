-- The executions of the Go service as JSON, in order of creation. It stores no other time than the start; a
-- time of year 1 means none. All these times are in UTC, so their texts sort in order.
DECLARE go_rows NO SCROLL CURSOR FOR
 SELECT CAST(t.row AS TEXT) AS row
   FROM (SELECT to_jsonb(t) AS row FROM executions AS t OFFSET 0) AS t
  ORDER BY CASE WHEN t.row ->> 'execution_start_time' COLLATE "C" > '0002'
           THEN t.row ->> 'execution_start_time'
                WHEN t.row ->> 'scheduled_time' COLLATE "C" > '0002' THEN t.row ->> 'scheduled_time'
                WHEN t.row ->> 'execution_end_time' COLLATE "C" > '0002' THEN t.row ->> 'execution_end_time'
                ELSE '' END COLLATE "C", t.row ->> 'guid' COLLATE "C";
