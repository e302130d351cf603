-- One at a time counts the waiting jobs of these queues and adds to them, until its transaction ends. Waits for its turn
-- as long as functions/enqueue.sql would. Returns the isolation of the transaction.
SELECT narrowboat.waiting_lock(%(queues)s)
