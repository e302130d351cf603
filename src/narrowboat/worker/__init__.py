"""The trusted parent: claims jobs, hands them to executors, settles them. It never imports user code."""
