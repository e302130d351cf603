-- Jobs whose revision is above that in :revisions (JSON, {id: revision}).
SELECT summary.* FROM json_each(:revisions) AS seen CROSS JOIN summary ON summary.id = seen.key WHERE summary.revision > seen.value
