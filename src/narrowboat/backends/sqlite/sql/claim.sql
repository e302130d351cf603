-- Claim :n jobs of a lane, oldest first at one priority, with tokens from :token on, in this order.
-- The limit stands inside: a window over the whole lane would cost with its length. OR FAIL: whoever has this fail rolls
-- everything back, so that the pages it changes need not be kept aside.
UPDATE OR FAIL job SET state = 'running', worker = :worker, ran_by = :worker, token = :token + picked.place, step = :step,
               started_at = NULL, progress = NULL, cancel = NULL, revision = revision + 1
FROM (SELECT ord, row_number() OVER (ORDER BY ord) - 1 AS place FROM (
          SELECT ord FROM job WHERE lane = :lane AND state = 'queued' AND priority = :priority ORDER BY ord LIMIT :n
      )) AS picked
WHERE job.ord = picked.ord
