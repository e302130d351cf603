-- How the server is set up: (version, fsync, synchronous_commit, full_page_writes, autovacuum, standbys, standbys that a
-- commit waits for, sessions that this role may not look at, who holds back VACUUM most, for how long). A time of NULL:
-- nobody knows.
SELECT current_setting('server_version'), current_setting('fsync') = 'on', current_setting('synchronous_commit'),
       current_setting('full_page_writes') = 'on', current_setting('autovacuum') = 'on',
       (SELECT count(*) FROM pg_stat_replication), current_setting('synchronous_standby_names'),
       (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = '<insufficient privilege>'),
       holder.who, holder.age_s
FROM (VALUES (1)) AS one LEFT JOIN LATERAL (
    SELECT format('process %s of %s%s', pid, usename, CASE WHEN application_name = '' THEN '' ELSE ', ' || application_name END)
               AS who,
           extract(epoch FROM clock_timestamp() - xact_start)::double precision AS age_s
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
          AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
    UNION ALL
    SELECT format('the prepared transaction %s', gid), extract(epoch FROM clock_timestamp() - prepared)::double precision
    FROM pg_prepared_xacts WHERE database = current_database()
    UNION ALL
    SELECT format('the replication slot %s, which nobody reads', slot_name), NULL
    FROM pg_replication_slots WHERE xmin IS NOT NULL AND NOT active
    ORDER BY age_s DESC NULLS FIRST LIMIT 1
) AS holder ON true
