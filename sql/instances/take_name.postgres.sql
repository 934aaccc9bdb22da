-- Records the instance's name. No row: the lease was taken over.
UPDATE instances SET name = :name WHERE id = :id;
