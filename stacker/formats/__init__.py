"""File formats: functions that parse bytes and functions that make bytes. No module here opens a file."""
