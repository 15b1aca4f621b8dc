"""How the shipped weights of the judges are made: from packaged text alone, see valuedrift/data/judge/README.md and valuedrift/data/judge-lm/README.md."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from valuedrift.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Protocol

    from valuedrift.judges.quality.validation import Validation
    from valuedrift.progress import Progress

    class Trainer(Protocol):
        """Trains a judge into a folder, calibrates it on held-out questions, and measures it there."""

        def __call__(self, out: Path, *, seed: int = 0, progress: Callable[[Progress], None] = ...) -> list[Validation]:
            """See :func:`valuedrift.judges.training.train.train_judge`."""
            ...


TRAINERS = {
    "cross-encoder": ("valuedrift.judges.training.train", "train_judge"),
    "embedded-lm": ("valuedrift.judges.training.language", "train_language_judge"),
}
"""Module and function that train each type of judge; heavy, so imported where one is wanted."""


def trainer(judge: str) -> Trainer:
    """What trains a type of judge.

    Raises:
        UserError: There is no such type, or its weights are not trained here.
    """
    if judge not in TRAINERS:
        raise UserError(f"no training for {judge!r}", where="--judge", fix=f"one of {', '.join(TRAINERS)}")
    module, function = TRAINERS[judge]
    return cast("Trainer", getattr(import_module(module), function))
