"""A series at work: which of its checkpoints are whole now, which are waited for and which are broken; held while they are needed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import polars as pl

from valuedrift.errors import UserError
from valuedrift.models.resolve import resolve_weights
from valuedrift.storage.store import Store
from valuedrift.tasks.candidates import Candidate, candidate_at, candidates_at, hand_overs_at, handed_at, is_marked, series_are_apart
from valuedrift.tasks.holding import Holding, with_tokenizer
from valuedrift.tasks.sources import brought
from valuedrift.watching.checkpoints import STATE, NotWholeError, Whole, look_into, step_of, trainer_state
from valuedrift.watching.handing import Crossed
from valuedrift.watching.series import Series
from valuedrift.watching.sighted import Sighted
from valuedrift.weights import Weights

_TENSORS = ".safetensors"
_STALE_SECONDS = 60.0
"""A checkpoint that is not whole and does not change for so long is told and no longer waited for; when it changes, it is looked at again."""


@dataclass
class Sighting:
    """What one look found.

    Attributes:
        whole: Checkpoints that can be evaluated, by step.
        waiting: Checkpoints that may yet become whole, by name, and what they lack.
        broken: Checkpoints that never will, by name, and why.
        length: Optimizer steps of the whole training, where a checkpoint says so.
    """

    whole: dict[int, Sighted] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    length: int | None = None


class SeriesAtWork:
    """One series, looked at again and again.

    Args:
        series: Where it lies.
        held: Folder for what is held of its checkpoints while they are needed, on the tables' disk.
    """

    def __init__(self, series: Series, held: Path) -> None:
        self.series = series
        self.holding = Holding(held, series.room_gigabytes)
        self._since: dict[str, tuple[str, float]] = {}
        """When a candidate was first seen as it is, by the clock that nobody sets."""
        self._found: dict[tuple[str, str], tuple[Whole, Path] | str | UserError] = {}
        """What looking into a candidate gave, by its name and state."""
        self._sighted_before: dict[tuple[str, str], Sighted] = {}
        """So that a fingerprint is made once, and stays known when the weights are gone."""
        self._base: Callable[[], Weights] | None = None
        if series.base is not None:
            self._base = cache(partial(_base_of, series.base))

    def look(self, *, patient: bool) -> Sighting:
        """See what is there now.

        Args:
            patient: Whether whoever asks will look again, so that what changed just now is left for then; else what is whole is taken as it is.

        Raises:
            UserError: Two series in one place, or a store or hub that cannot be reached.
        """
        sighting = Sighting()
        candidates: list[tuple[int | None, Candidate]] = [
            (step, one) for place, step in self.series.steps.items() for one in candidate_at(place)
        ]
        candidates += [
            (self._step(one), one) for place in self.series.places if place not in self.series.steps for one in candidates_at(place)
        ]
        numbered = [(step, one) for step, one in candidates if step is not None]
        series_are_apart(numbered, ", ".join(self.series.places))
        numbered = self._with_held(numbered)
        for step, one in sorted(numbered, key=lambda pair: pair[0]):
            changed = self._note_state(one)
            found = (self._unsettled(one, changed) if patient else "") or self._look_into(step, one)
            if isinstance(found, UserError):
                sighting.broken[one.name] = str(found)
            elif isinstance(found, str):
                there_since = time.monotonic() - self._since[one.name][1]
                given_up = there_since > max(_STALE_SECONDS, 10 * self.series.quiet_seconds)
                (sighting.broken if given_up else sighting.waiting)[one.name] = found
            else:
                sighting.whole[step] = self._sighted(step, one, *found)
                sighting.length = _length(found[1]) or sighting.length
        self._with_base(sighting)
        return sighting

    def let_go(self, sighted: Sighted) -> None:
        """A checkpoint is evaluated: what was held of it may go."""
        known = sighted.name, sighted.state
        found = self._found.get(known)
        handed = [one.let_go(sighted.step, sighted.state) for place in self.series.places for one in hand_overs_at(place)]
        if (self.holding.let_go(sighted.step, sighted.state) or any(handed)) and isinstance(found, tuple):
            self._found[known] = found[0], Path(sighted.name)

    def stamp(self) -> list[int]:
        """Differs when a training handed something over, began or ended; costs microseconds."""
        return [one.stamp() for place in self.series.places for one in hand_overs_at(place)]

    def _with_held(self, there: list[tuple[int, Candidate]]) -> list[tuple[int, Candidate]]:
        """What lies there, by what was handed over of it as it is now; and what was handed over or is held of what does not lie there any more."""
        stated = self.series.steps
        given = {(stated.get(one.name, step_of(one.label)), one.state): one for place in self.series.places for one in handed_at(place)}
        numbered = [(step, given.get((step, one.state), one)) for step, one in there]
        for step, one in (*((step, one) for (step, _), one in given.items()), *self.holding.candidates()):
            if step is not None and all(step != other for other, _ in numbered):
                numbered.append((step, one))
        return numbered

    def _step(self, candidate: Candidate) -> int | None:
        step = step_of(candidate.label)
        return step if step is not None or not candidate.times else step_of("", candidate.bring())

    def _note_state(self, candidate: Candidate) -> bool:
        """Note since when a candidate is as it is; whether it changed since the last look."""
        changed = self._since.get(candidate.name, ("", 0.0))[0] != candidate.state
        if changed:
            self._since[candidate.name] = candidate.state, time.monotonic()
        return changed

    def _unsettled(self, candidate: Candidate, changed: bool) -> str:
        """Why a candidate may still be written; empty where nothing says so."""
        if candidate.fixed or self._marked(candidate):
            return ""
        if self.series.marker is not None:
            return f"no {self.series.marker} yet"
        since = self._since[candidate.name][1]
        return "it is being written" if changed or time.monotonic() - since < self.series.quiet_seconds else ""

    def _marked(self, candidate: Candidate) -> bool:
        """Whether the trainer's last file is there, and no weights are newer: a training that went back writes over what it wrote."""
        marker = self.series.marker or STATE
        written = [at for name, at in candidate.times.items() if name.endswith(_TENSORS)]
        return marker in candidate.times and bool(written) and candidate.times[marker] >= max(written)

    def _look_into(self, step: int, candidate: Candidate) -> tuple[Whole, Path] | str | UserError:
        known = candidate.name, candidate.state
        if known not in self._found:
            try:
                folder = candidate.bring()
                whole = look_into(folder)
                self._found[known] = whole, self.holding.hold(step, candidate, folder)
            except NotWholeError as error:
                self._found[known] = str(error)
            except UserError as error:
                self._found[known] = error
            except FileNotFoundError:
                return "it went while it was looked at"
        return self._found[known]

    def _sighted(self, step: int, candidate: Candidate, whole: Whole, folder: Path) -> Sighted:
        known = candidate.name, candidate.state
        if known not in self._sighted_before:

            def content() -> str:
                return self._weights(step, candidate, whole, self._folder_of(known, folder)).fingerprint()

            def weights() -> Weights:
                return self._weights(step, candidate, whole, self._folder_of(known, folder))

            self._sighted_before[known] = Sighted(step, candidate.name, candidate.state, weights, cache(content), lambda: whole.adapter)
        return self._sighted_before[known]

    def _folder_of(self, known: tuple[str, str], folder: Path) -> Path:
        """Where a checkpoint lies now: held, or where it was found."""
        found = self._found.get(known)
        return found[1] if isinstance(found, tuple) else folder

    def _weights(self, step: int, candidate: Candidate, whole: Whole, folder: Path) -> Weights:
        """The weights of a checkpoint as an engine loads them."""
        if whole.adapter:
            return self._base_or(whole, candidate.name)().plus(folder)
        if whole.tokenizer:
            return Weights(base=folder)
        base = self._base_or(whole, candidate.name)().base
        return Weights(base=with_tokenizer(folder, base, self.holding.folder / f"whole-{step}-{candidate.state[:12]}"))

    def _base_or(self, whole: Whole, name: str) -> Callable[[], Weights]:
        if self._base is not None:
            return self._base
        if whole.base is None:
            lacks = "an adapter that names no base" if whole.adapter else "a checkpoint without a tokenizer"
            raise UserError(lacks, where=name, fix="name the model that the training started from: --base, or `base:` of the series")
        return cache(partial(_base_of, _reference(whole.base, name)))

    def _with_base(self, sighting: Sighting) -> None:
        """Step 0 is the model that the training started from, where it is known."""
        if 0 in sighting.whole or not sighting.whole:
            return
        first = sighting.whole[min(sighting.whole)]
        if self._base is None and not first.adapter():
            return
        start = self._base or cache(lambda: Weights(base=first.weights().base))
        sighting.whole = {
            0: Sighted(0, self.series.base or "the adapters' base", "", start, cache(lambda: start().fingerprint()), lambda: False)
        } | sighting.whole


def _reference(base: str, adapter: str) -> str:
    """What an adapter names as its base: a folder, taken from where it lies if it is a relative path, else a name on the hub."""
    for folder in (Path(base), Path(adapter).parent / base):
        if folder.is_dir():
            return str(folder)
    return base if ":" in base else f"hf:{base}"


def _base_of(reference: str) -> Weights:
    return resolve_weights(brought(reference))


@lru_cache(maxsize=1024)
def _length(folder: Path) -> int | None:
    """Optimizer steps of the whole training, as a checkpoint says it."""
    length = trainer_state(folder).get("max_steps")
    return length if isinstance(length, int) and length > 0 else None


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
        return tuple(whole[step] for step in sorted(whole))

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
            one.holding.on = True

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
        return {row["step"]: _remembered(row) for row in known.filter(pl.col("step").is_in(sorted(sampled))).iter_rows(named=True)}


def _remembered(row: Mapping[str, Any]) -> Sighted:
    """A checkpoint as its row in the table has it."""
    name = str(json.loads(row["path"]).get("watched", row["path"]))

    def weights() -> Weights:
        raise UserError(
            "the checkpoint is gone, and something asks for its weights again",
            where=name,
            fix="put it back, or drop its step from the series",
        )

    return Sighted(row["step"], name, f"gone {row['fingerprint']}", weights, lambda: str(row["fingerprint"]), lambda: bool(row["adapter"]))


def _state(sighting: Sighting) -> object:
    return {step: one.state for step, one in sighting.whole.items()}, sighting.waiting, sighting.broken
