"""What executors and `verify` share: the schedule of tasks, worker threads, open donor files."""
