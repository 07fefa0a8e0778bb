"""What executors share: the schedule of tasks, worker threads, open donor files."""
