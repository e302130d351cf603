-- lane_lock(): the first number of the advisory locks on lanes; the second is a lane's id, modulo 64.
-- Who puts jobs into lanes shares the lock until it commits. Who says that a lane is empty, or that its best job is of a
-- lower rank, has it alone, and does not do so where it must wait. So nothing that is under way is overlooked.
CREATE OR REPLACE FUNCTION narrowboat.lane_lock() RETURNS integer
LANGUAGE sql IMMUTABLE AS $$ SELECT hashtext('narrowboat.lanes') $$;
