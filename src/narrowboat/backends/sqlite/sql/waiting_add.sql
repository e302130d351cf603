-- :n more jobs wait in lane :lane, or fewer; of no consequence for a queue that is not counted.
UPDATE waiting SET n = n + :n WHERE queue = (SELECT queue FROM lane WHERE id = :lane)
