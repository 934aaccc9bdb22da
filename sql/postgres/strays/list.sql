-- A batch of the names to look for, by key.
SELECT name, doubt_until FROM strays WHERE name > :after ORDER BY name LIMIT :limit;
