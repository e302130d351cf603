#!lua flags=no-writes
-- Batches. ARGV: [id]...
-- Returns the values of each, nils for one that is not there.

local found = {}
for i = 1, #ARGV do
  -- stylua: ignore
  found[i] = call('HMGET', P .. 'batch:' .. ARGV[i], 'total', 'succeeded', 'dead', 'cancelled', 'when', 'sealed', 'created_at',
    'changed_at', 'finished_at', 'final_id', 'summary', 'kept')
end
return found
