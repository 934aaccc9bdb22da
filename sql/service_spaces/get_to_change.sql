-- By primary key, before an instance is created or deleted in the space.
SELECT is_suspended
  FROM service_spaces
 WHERE space_guid = :space_guid
--pg FOR UPDATE
;
