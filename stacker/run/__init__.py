"""Executors: what turns a Plan into bytes."""
