-- See functions/open_gate.sql.
SELECT narrowboat.open_gate(%(scope)s, %(now)s)
