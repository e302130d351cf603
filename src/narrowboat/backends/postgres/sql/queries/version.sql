-- The version of the schema, and the oldest program that may use it.
SELECT version, oldest FROM narrowboat.schema_version
