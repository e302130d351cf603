"""The same four jobs in each system, and how it is told to run them; each is imported in an environment of its own.

A module has `one(task, number)`, which enqueues one job, and `many(task, numbers)`, which enqueues many by the
fastest way that the system's documentation names. Both are plain functions or both coroutines. `opened()`, where there
is one, is a context manager around all calls. `IS_BULK` says whether `many` writes many jobs in one call.
"""
