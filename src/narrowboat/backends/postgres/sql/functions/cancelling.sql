-- cancelling(worker): ids of the running jobs of the worker with this number whose cancel was asked for.
CREATE OR REPLACE FUNCTION narrowboat.cancelling(p_worker integer) RETURNS text[]
LANGUAGE plpgsql AS $$
BEGIN  -- a function in SQL would be planned anew in each call
    RETURN (SELECT array_agg(id) FROM narrowboat.running WHERE worker = p_worker AND cancel IS NOT NULL);
END $$;
