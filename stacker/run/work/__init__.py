"""Runs tasks in worker threads and keeps donors' files open; used by executors and by `verify`."""
