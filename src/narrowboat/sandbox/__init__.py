"""The narrow channel's far bank: walls of the Linux kernel around executors, and attacks on them from inside."""
