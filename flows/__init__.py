"""Prefect flows, one a file, and above them the command line."""
