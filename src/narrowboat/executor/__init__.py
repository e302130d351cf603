"""What runs on the far side: the zygote that imports the app, and the executors that it forks."""
