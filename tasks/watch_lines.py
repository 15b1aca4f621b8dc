"""What a watch says of the series that it follows: which checkpoints are left out, and what looks odd."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

from valuedrift.tasks.board import tell
from valuedrift.tasks.candidates import is_one_checkpoint
from valuedrift.tasks.series import Sighting
from valuedrift.tasks.study_work import StudyWork


def instead(sighting: Sighting) -> str:
    """What is there instead of whole checkpoints."""
    there = {**sighting.broken, **sighting.waiting}
    if not there:
        return "folders of checkpoints have their step in their name, checkpoint-500 say; `valuedrift watch` without --once waits for them"
    return "; ".join(f"{name}: {why}" for name, why in list(there.items())[:3])


def tell_broken(work: StudyWork, told: set[str]) -> None:
    """Say once of each broken checkpoint that it is left out."""
    for name in work.study.series:
        for checkpoint, why in work.watch.seen(name).broken.items():
            tell_once(f"{name}: {checkpoint} is left out: {why.removeprefix(f'{checkpoint}: ')}", told)


def tell_mixed(work: StudyWork, told: set[str]) -> None:
    """Say once of a series whose checkpoints look like those of two trainings: their names differ in more than numbers, or two folders take turns."""
    for name in work.study.series:
        seen = [Path(one.name) for _, one in sorted(work.watch.seen(name).whole.items()) if one.state]
        kinds = dict.fromkeys(kind for path in seen if "#" in (kind := re.sub(r"\d+", "#", path.name)))
        folders = [folder for folder, _ in groupby(path.parent for path in seen)]
        mixed = list(kinds) if len(kinds) > 1 else sorted({folder.name for folder in folders}) if len(folders) > len(set(folders)) else []
        if mixed:
            tell_once(
                f"{name}: {' and '.join(mixed[:3])} are taken for one training; if they are of several, give each a pattern of its own",
                told,
            )


def tell_waiting(work: StudyWork) -> None:
    """Say of each checkpoint that is not whole what it lacks, where nobody waits for it."""
    for name in work.study.series:
        for checkpoint, why in work.watch.seen(name).waiting.items():
            tell(f"{name}: {checkpoint} is not whole and left out: {why}")


def tell_closed(work: StudyWork) -> None:
    """Say of a series that is made of single checkpoints that no others are looked for."""
    for name, series in work.study.series.items():
        if all(map(is_one_checkpoint, series.places)):
            folder = Path(series.places[0]).parent
            tell(f"{name}: these checkpoints and no later ones; {folder}, or a pattern in quotes, follows all that come there")


def tell_once(line: str, told: set[str]) -> None:
    """Say a line unless it was said."""
    if line not in told:
        told.add(line)
        tell(line)
