-- meter_lock(): the first number of the advisory locks on what gates remember. The second is a scope's hash, modulo 256,
-- or -1 for which tasks have which controls: who goes through gates shares that, who changes controls has it alone.
CREATE OR REPLACE FUNCTION narrowboat.meter_lock() RETURNS integer
LANGUAGE sql IMMUTABLE AS $$ SELECT hashtext('narrowboat.meters') $$;
