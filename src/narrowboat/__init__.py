"""Background workers for Python web applications."""
