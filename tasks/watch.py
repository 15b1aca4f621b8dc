"""The series of a study at work: what was seen of each, which checkpoints the list of stages is shown, and when the trainings have ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

import polars as pl

from valuedrift.errors import UserError
from valuedrift.storage.store import Store
from valuedrift.tasks.board import tell
from valuedrift.tasks.candidates import hand_overs_at, is_marked, lies_at
from valuedrift.tasks.series import SeriesAtWork, Sighting
from valuedrift.watching.handing import Crossed
from valuedrift.watching.series import Series
from valuedrift.watching.sighted import Sighted
from valuedrift.weights import Weights

GONE = "gone "
"""Begins the state of a checkpoint that is no longer where it lay."""


class Watch:
    """The series of a study at work: what was seen of each at the last look, and which of it is shown to the list of stages.

    Args:
        series: Them, by name of the run.
        store: The tables, which remember checkpoints that are gone.
        study: The study's name.
        held: Folder for what is held of checkpoints.
        budget: How many checkpoints of each are shown at most, chosen by `choose`; None: all of them.
    """

    def __init__(self, series: Mapping[str, Series], store: Store, study: str, held: Path, budget: int | None = None) -> None:
        self._store, self._study = store, study
        self.budget = budget
        self.growing = False
        """Whether somebody looks again and again, because more checkpoints may come."""
        self._chosen: dict[str, frozenset[int]] = {}
        """Steps of each that are shown where there is a budget."""
        self._at_work = {name: SeriesAtWork(one, held / study / name) for name, one in series.items()}
        self._sightings: dict[str, Sighting] = {}
        self._faults: dict[tuple[str, str], UserError | None] = {}
        self._told_back: set[tuple[str, frozenset[int]]] = set()
        self._unfit: dict[tuple[str, int, str], str] = {}
        """Checkpoints that cannot be asked, by series, step and state, and why."""
        self._revealed: dict[str, int] | None = None
        """How many checkpoints of each are shown; None: all of them."""

    def look(self, *, patient: bool = False) -> bool:
        """Look at all series again.

        Args:
            patient: See `SeriesAtWork.look`.

        Returns:
            Whether anything is otherwise than before.

        Raises:
            UserError: See `SeriesAtWork.look`.
        """
        before = {name: _state(sighting) for name, sighting in self._sightings.items()}
        self._sightings = {name: one.look(patient=patient) for name, one in self._at_work.items()}
        return before != {name: _state(sighting) for name, sighting in self._sightings.items()}

    def seen(self, name: str) -> Sighting:
        """What the last look saw of a series; the first one looks."""
        if not self._sightings:
            self.look()
        return self._sightings[name]

    def there(self, name: str) -> tuple[Sighted, ...]:
        """The checkpoints of a series, by step: those that are there, and those that were evaluated before they went."""
        whole = {**self._gone(name), **self.seen(name).whole}
        return tuple(whole[step] for step in sorted(whole) if (name, step, whole[step].state) not in self._unfit)

    def leave_out(self, name: str, one: Sighted, why: str) -> None:
        """Leave a checkpoint out, as it is now, because it cannot be asked; the others go on."""
        self._unfit[name, one.step, one.state] = why

    def fault_of(self, one: Sighted) -> UserError | None:
        """Why a checkpoint lacks what it lies on, an adapter's base or the tokenizer of its base; asked once of each state."""
        known = one.name, one.state
        if known not in self._faults:
            self._faults[known] = None
            if not known[1].startswith(GONE):
                try:
                    one.weights()
                except UserError as error:
                    self._faults[known] = error
        return self._faults[known]

    @property
    def left_out(self) -> dict[str, str]:
        """Checkpoints that could not be asked, and why."""
        return {f"{name} step {step}": why for (name, step, _), why in self._unfit.items()}

    def shown(self, name: str) -> tuple[Sighted, ...]:
        """Those of them that the list of stages has."""
        there = self.there(name)
        if self.budget is not None:
            return tuple(one for one in there if one.step in self.chosen(name))
        return there if self._revealed is None else there[: self._revealed.get(name, 2)]

    def chosen(self, name: str) -> frozenset[int]:
        """The steps of a series that a budget allows so far; before the first choice none."""
        return self._chosen.get(name, frozenset())

    def choose(self, name: str, steps: frozenset[int]) -> None:
        """Show these steps of a series from now on."""
        self._chosen[name] = steps

    def hides(self) -> bool:
        """Whether checkpoints are there that are not shown yet."""
        one_by_one = self._revealed is not None or self.budget is not None
        return one_by_one and any(self.wanted(name) > len(self.shown(name)) for name in self._at_work)

    def wanted(self, name: str) -> int:
        """How many of the checkpoints of a series that are there are to be evaluated."""
        there = len(self.there(name))
        return there if self.budget is None else min(self.budget, there)

    def length(self, name: str) -> int | None:
        """Optimizer steps of the whole training, where a checkpoint says so."""
        return self.seen(name).length

    def ended(self) -> bool:
        """Whether every training has ended: its last step is whole, or a file beside its checkpoints says so, and none is still being written."""
        return all(self._has_ended(name) for name in self._at_work)

    def _has_ended(self, name: str) -> bool:
        sighting, series = self.seen(name), self._at_work[name].series
        length = series.length or sighting.length
        goes_on = any(one.under_way for place in series.places for one in hand_overs_at(place))
        at_last = not goes_on and length is not None and bool(sighting.whole) and max(sighting.whole) >= length
        return not sighting.waiting and (at_last or all(is_marked(place, series.end_marker) for place in series.places))

    def one_by_one(self) -> None:
        """Show the first two checkpoints of each series, those that were judged before, and each further one when `reveal` is called."""
        judged = {(entry.partition["run_id"], entry.partition["step"]) for entry in self._store.entries("stances", self._study)}
        self._revealed = None
        steps = {name: [one.step for one in self.shown(name)] for name in self._at_work}
        self._revealed = {name: max(2, len(list(takewhile(judged.__contains__, ((name, step) for step in steps[name]))))) for name in steps}

    def stamp(self) -> list[list[int]]:
        """See `SeriesAtWork.stamp`."""
        return [one.stamp() for one in self._at_work.values()]

    def tell_training(self, name: str, crossed: Crossed) -> None:
        """Tell the training of a series of an alert, if there is one that listens."""
        for place in self._at_work[name].series.places:
            for one in hand_overs_at(place):
                if one.folder.is_dir():
                    one.tell(crossed)

    def hold(self) -> None:
        """From now on hold what is whole until it is evaluated: a trainer may delete it (``save_total_limit``)."""
        for one in self._at_work.values():
            one.hold()

    def let_go(self, evaluated: Callable[[str, int], bool]) -> None:
        """Let go of what is evaluated, and of everything where a budget is spent."""
        for name, one in self._at_work.items():
            shown = self.shown(name)
            spent = self.budget is not None and not self.growing and len(shown) >= self.budget
            done = [sighted for sighted in shown if evaluated(name, sighted.step)]
            for sighted in self.there(name) if spent and len(done) == len(shown) else done:
                one.let_go(sighted)

    def reveal(self, finished: Callable[[str, int], bool]) -> bool:
        """Show one checkpoint more of each series whose shown ones are all finished.

        Args:
            finished: Whether a checkpoint, by run and step, is evaluated.

        Returns:
            Whether one more is shown.
        """
        if self._revealed is None or self.budget is not None:
            return False
        more = False
        for name in self._at_work:
            shown = self.shown(name)
            self._revealed[name] = max(self._revealed[name], 2)
            if len(shown) >= self._revealed[name] and all(finished(name, one.step) for one in shown):
                self._revealed[name] += 1
                more = more or len(self.shown(name)) > len(shown)
        return more

    def _gone(self, name: str) -> dict[int, Sighted]:
        """Checkpoints that were evaluated and are no longer where they lay, from the tables."""
        known = self._store.read("checkpoints", study=self._study, run_id=name)  # not by its entry: another thread may write it again now
        if not known.height:
            return {}
        sampled = {int(one.partition["step"]) for one in self._store.entries("responses", self._study) if one.partition["run_id"] == name}
        rows = known.filter(pl.col("step").is_in(sorted(sampled))).iter_rows(named=True)
        places = self._at_work[name].series.places
        before = {row["step"]: _remembered(row) for row in rows}
        ours = {step: one for step, one in before.items() if any(lies_at(one.name, place) for place in places)}
        of_before = self._of_before(name, set(ours))
        ours = {step: one for step, one in ours.items() if step not in of_before}
        return ours | ({0: before[0]} if ours and 0 in before else {})  # the model that it started from lies elsewhere

    def _of_before(self, name: str, gone: set[int]) -> set[int]:
        """Steps that are gone and were evaluated before an earlier step was written: the training went back, and goes another way from there."""
        there = {step: one for step, one in self.seen(name).whole.items() if step}
        asked = {
            int(one.partition["step"]): datetime.fromisoformat(one.written).timestamp()
            for one in self._store.entries("responses", self._study)
            if one.partition["run_id"] == name
        }
        gone = {step for step in gone - there.keys() if step in asked}
        back = [step for step, one in there.items() if any(step < other and asked[other] < _written_at(one) for other in gone)]
        stale = {step for step in gone if back and step > min(back)}
        if stale and (name, frozenset(stale)) not in self._told_back:
            self._told_back.add((name, frozenset(stale)))
            steps = ", ".join(map(str, sorted(stale)))
            tell(
                f"{name}: the training went back to before step {min(stale)} or began anew: what was evaluated of {steps} before that is left out"
            )
        return stale


def _written_at(one: Sighted) -> float:
    """When the weights of a checkpoint on this machine were written, in seconds; 0 where nothing tells."""
    with suppress(OSError):
        return max((path.stat().st_mtime for path in Path(one.name).glob("*.safetensors")), default=0.0)
    return 0.0


def _remembered(row: Mapping[str, Any]) -> Sighted:
    """A checkpoint as its row in the table has it."""
    name = str(json.loads(row["path"]).get("watched", row["path"]))

    def weights() -> Weights:
        raise UserError(
            "the checkpoint is gone, and something asks for its weights again",
            where=name,
            fix="put it back, or drop its step from the series",
        )

    return Sighted(row["step"], name, f"{GONE}{row['fingerprint']}", weights, lambda: str(row["fingerprint"]), lambda: bool(row["adapter"]))


def _state(sighting: Sighting) -> object:
    return {step: one.state for step, one in sighting.whole.items()}, sighting.waiting, sighting.broken
