"""Prefect tasks: cache key, retries, progress and artifacts around one function of valuedrift and one of storage."""
