-- What every migration ends with: the version of the schema, and the oldest program that may go on using it.
DELETE FROM narrowboat.schema_version;
