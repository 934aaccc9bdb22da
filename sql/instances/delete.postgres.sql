-- The lease was taken over, or its owner stopped: its number is invalid from here on.
DELETE FROM instances WHERE id = :id;
