"""The folder for what can be made or fetched again: converted models, files of buckets, checkpoints of studies whose root is a bucket."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "VALUEDRIFT_CACHE"


def cache_folder() -> Path:
    """``$VALUEDRIFT_CACHE``, else the user's cache folder of this platform."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("valuedrift"))
