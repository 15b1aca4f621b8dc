"""Of several candidates for one step, the one that is meant; or that two series lie in one place."""

from __future__ import annotations

import filecmp
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from valuedrift.errors import UserError
from valuedrift.tasks.candidates import Candidate
from valuedrift.watching.checkpoints import is_worded


class SeveralSeriesError(UserError):
    """Two series lie where one is meant."""


def one_a_step(
    candidates: Sequence[tuple[int, Candidate]], where: str, known: Mapping[int, str]
) -> tuple[list[tuple[int, Candidate]], dict[str, str]]:
    """One candidate of each step.

    What has no file of a checkpoint (``eval-10`` beside ``checkpoint-10``) and a link to another stand aside in silence; a copy of one that is known, or
    that only has more to its name (``checkpoint-10-merged``), is told.

    Args:
        candidates: All that have a step.
        where: What to call the place in messages.
        known: Names of the checkpoints that were found whole before, by step.

    Returns:
        Those that are meant, and by name why others are not.

    Raises:
        SeveralSeriesError: Nothing tells which of two is meant.
    """
    by_step = defaultdict(list)
    for step, candidate in candidates:
        by_step[step].append(candidate)
    meant: list[tuple[int, Candidate]] = []
    copies: dict[str, str] = {}
    for step, group in by_step.items():
        alike = _without_links([one for one in group if one.has_files])
        if len(alike) < 2:
            meant += [(step, one) for one in alike or group]
            continue
        chosen = next((one for one in alike if one.name == known.get(step)), None) or _shortest(alike) or _one_of_equals(alike)
        if chosen is None:
            raise SeveralSeriesError(
                f"two checkpoints of step {step}: {alike[0].name} and {alike[1].name}",
                where=where,
                fix="two series lie here: give each a pattern of its own",
            )
        meant.append((step, chosen))
        copies |= {one.name: f"another checkpoint of step {step}, beside {Path(chosen.name).name}" for one in alike if one is not chosen}
    return meant, copies


def _without_links(group: Sequence[Candidate]) -> list[Candidate]:
    """The same without second names of one folder."""
    folders: dict[str, Candidate] = {}
    for one in sorted(group, key=lambda one: Path(one.name).is_symlink()):
        folders.setdefault(str(Path(one.name).resolve()) if Path(one.name).is_dir() else one.name, one)
    return list(folders.values())


def _one_of_equals(group: Sequence[Candidate]) -> Candidate | None:
    """The one whose name says its step, if the others (``final``) are folders of this machine with the same weights: a checkpoint saved twice."""
    if sum(is_worded(one.label) for one in group) != 1:
        return None
    first = min(group, key=lambda one: not is_worded(one.label))
    return first if all(_same_weights(Path(first.name), Path(one.name)) for one in group if one is not first) else None


def _same_weights(folder: Path, other: Path) -> bool:
    files = [sorted(path.name for path in one.glob("*.safetensors")) for one in (folder, other)]
    return bool(files[0]) and files[0] == files[1] and all(filecmp.cmp(folder / name, other / name, shallow=False) for name in files[0])


def _shortest(group: Sequence[Candidate]) -> Candidate | None:
    """The one whose name the names of all others begin with, if there is one."""
    first = min(group, key=lambda one: len(one.name))
    return first if all(one.name.startswith(first.name) for one in group) else None
