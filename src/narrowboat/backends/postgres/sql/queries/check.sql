-- What a connection must be to be of use: (encoding, isolation, is_standby, version, the server's process).
SELECT current_setting('server_encoding'), current_setting('default_transaction_isolation'), pg_is_in_recovery(),
       current_setting('server_version'), pg_backend_pid()
