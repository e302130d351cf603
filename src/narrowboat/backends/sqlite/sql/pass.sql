-- These claims went through gates that want to hear of their end.
UPDATE job SET passed = :passed WHERE worker = :worker AND state = 'running' AND step = :step AND token >= :token
