-- Jobs whose revision is above the one seen.
SELECT summary.* FROM unnest(%(ids)s::text[], %(revisions)s::integer[]) AS seen (id, revision)
JOIN narrowboat.summary ON summary.id = seen.id AND summary.revision > seen.revision
