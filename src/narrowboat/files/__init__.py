"""Where the content of files waits between the web and the workers."""
