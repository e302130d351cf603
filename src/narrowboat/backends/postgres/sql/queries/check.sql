-- What a connection must be to be of use: (encoding, isolation, is_standby, schema's version, the oldest that may use it).
SELECT current_setting('server_encoding'), current_setting('default_transaction_isolation'), pg_is_in_recovery(),
       to_regclass('narrowboat.schema_version') IS NOT NULL
