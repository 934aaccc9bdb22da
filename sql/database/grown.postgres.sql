-- Tables that have changed so much since the last ANALYZE that existing query plans may be poor.
SELECT CAST(relname AS TEXT)
  FROM pg_stat_user_tables
 WHERE schemaname = current_schema() AND n_mod_since_analyze > 500 + n_live_tup / 5
   AND relname IN ('executables', 'schedules', 'executions');
