-- What a connection must be to be of use: (encoding, isolation, is_standby, whether there is a schema, the server's process).
SELECT current_setting('server_encoding'), current_setting('default_transaction_isolation'), pg_is_in_recovery(),
       to_regclass('narrowboat.schema_version') IS NOT NULL, pg_backend_pid()
