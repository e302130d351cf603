-- What tells one schema of one server from any other, in one life of the server: (start of the server, the database,
-- the schema's number or NULL where there is none, the database's name, whether the role may use the schema).
SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, (SELECT oid::text FROM pg_database
       WHERE datname = current_database()), named.id::oid::text, current_database()::text,
       coalesce(has_schema_privilege(named.id::oid, 'USAGE'), false)
FROM (SELECT to_regnamespace(%(schema)s) AS id) AS named
