-- Changes nothing, and shows that writing works.
UPDATE schema_version SET version = version;
