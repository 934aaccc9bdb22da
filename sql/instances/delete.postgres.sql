-- Taken over, or resigned: the number is of no use from here on.
DELETE FROM instances WHERE id = :id;
