-- waiting_lock(queues): until the transaction ends, nobody else counts the waiting jobs of these queues and adds to them.
-- Returns the isolation of the transaction.
CREATE OR REPLACE FUNCTION narrowboat.waiting_lock(p_queues text[]) RETURNS text
LANGUAGE plpgsql SET lock_timeout = '4s' AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('narrowboat.limits'), hashtext(queue))
    FROM (SELECT queue FROM unnest(p_queues) AS queue ORDER BY queue) AS ordered;
    RETURN current_setting('transaction_isolation');
END $$;
