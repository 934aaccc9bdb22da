-- How many executions find.sql has examined, from :from_id to :before_id (exclusive).
SELECT COUNT(*) AS total FROM executions WHERE id < :before_id AND id >= :from_id;
