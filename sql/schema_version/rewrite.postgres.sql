-- Changes nothing, but proves that writing works.
UPDATE schema_version SET version = version;
