-- The lease gets the name of its instance. No row: it was taken over.
UPDATE instances SET name = :name WHERE id = :id;
