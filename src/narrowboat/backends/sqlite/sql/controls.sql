-- Tasks that have controls: (task, controls as JSON).
SELECT task, controls FROM control
