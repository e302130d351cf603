-- How many jobs there are: (queue, state, count).
SELECT queue, state, n FROM count WHERE n > 0
