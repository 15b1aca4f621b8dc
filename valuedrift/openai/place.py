"""Where replies are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from valuedrift.fingerprint import fingerprint


def replies_file(keep: Path | None, name: str, identity: dict[str, Any]) -> Path:
    """The file that keeps a server's replies.

    Args:
        keep: The folder of one piece of work (a study, an output); None: the user's cache folder, where equal judges and engines of all work meet.
        name: Of the judge or engine.
        identity: What changes its answers.
    """
    from valuedrift.cache import cache_folder

    plain = "".join(character if character.isalnum() or character in "-_." else "-" for character in name)
    return keep / f"{plain}.sqlite" if keep is not None else cache_folder() / "replies" / f"{plain}-{fingerprint(identity)}.sqlite"
