-- Specs of tasks in :tasks (JSON), or of all for NULL.
SELECT task, spec FROM published WHERE :tasks IS NULL OR task IN (SELECT value FROM json_each(:tasks))
