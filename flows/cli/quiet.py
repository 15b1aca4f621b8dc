"""Prefect's own log goes to its UI; the terminal shows stages and results."""

from __future__ import annotations

import os

_QUIET_PREFECT = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_CLI_COLORS": "false",
}


def hush_prefect() -> None:
    """Keep Prefect quiet in the terminal; to be called before it is imported. What the environment sets wins."""
    for name, value in _QUIET_PREFECT.items():
        os.environ.setdefault(name, value)
