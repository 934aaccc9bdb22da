-- Found, or certainly not there.
DELETE FROM strays WHERE name = :name;
