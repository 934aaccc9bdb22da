-- Which guids of another database (a JSON array) are here.
SELECT guid FROM executions WHERE guid IN (SELECT value FROM json_each(:guids));
