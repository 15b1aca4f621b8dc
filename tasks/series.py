"""A series at work: which of its checkpoints are whole now, which are waited for and which are broken; held while they are needed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from pathlib import Path

from valuedrift.errors import UserError
from valuedrift.models.resolve import base_reference, resolve_weights
from valuedrift.tasks.candidates import CONFIGS, Candidate, candidate_at, candidates_at, hand_overs_at, handed_at
from valuedrift.tasks.holding import Holding, with_tokenizer
from valuedrift.tasks.one_a_step import one_a_step
from valuedrift.tasks.sources import brought
from valuedrift.watching.checkpoints import (
    LARGEST_STEP,
    STATE,
    NotWholeError,
    ScoresOnlyError,
    Whole,
    is_worded,
    look_into,
    step_of,
    trainer_state,
)
from valuedrift.watching.series import Series
from valuedrift.watching.sighted import Sighted
from valuedrift.weight_files import ADAPTER_CONFIG
from valuedrift.weights import Weights

_TENSORS = ".safetensors"
_ON_HUB = re.compile(r"\w[\w.-]*")
"""What a name on the hub without an organisation looks like."""
_STALE_SECONDS = 60.0
"""A checkpoint that is not whole and does not change for so long is told and no longer waited for; when it changes, it is looked at again."""


@dataclass
class Sighting:
    """What one look found.

    Attributes:
        whole: Checkpoints that can be evaluated, by step.
        waiting: Checkpoints that may yet become whole, by name, and what they lack.
        broken: Checkpoints that never will, by name, and why.
        scores: Those of them that are models which score and write nothing.
        length: Optimizer steps of the whole training, where a checkpoint says so.
    """

    whole: dict[int, Sighted] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    scores: tuple[str, ...] = ()
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
        self._names: dict[int, str] = {}
        """Under which name each step was first found whole."""
        self._contents: dict[str, str] = {}
        self._base: Callable[[], Weights] | None = None
        if series.base is not None:
            self._base = cache(partial(_weights_of, series.base))

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
        unnumbered = [one.name for step, one in candidates if step is None and (one.fixed or not one.times.keys().isdisjoint(CONFIGS))]
        sighting.broken |= dict.fromkeys(unnumbered, "neither its name nor trainer_state.json says a whole number of steps")
        numbered, copies = one_a_step(numbered, ", ".join(self.series.places), self._names)
        sighting.broken |= copies
        numbered = self._with_held(numbered)
        for step, one in sorted(numbered, key=lambda pair: pair[0]):
            changed = self._note_state(one)
            found = self._unsettled(one, changed, patient=patient) or self._look_into(step, one)
            if isinstance(found, UserError):
                sighting.broken[one.name] = str(found)
                sighting.scores += (one.name,) if isinstance(found, ScoresOnlyError) else ()
            elif isinstance(found, str):
                there_since = time.monotonic() - self._since[one.name][1]
                given_up = there_since > max(_STALE_SECONDS, 10 * self.series.quiet_seconds)
                (sighting.broken if given_up else sighting.waiting)[one.name] = found
            else:
                sighting.whole[step] = self._sighted(step, one, *found)
                self._names.setdefault(step, one.name)
                sighting.length = _length(found[1]) or sighting.length
        self._apart_from_other_bases(sighting)
        self._with_base(sighting)
        return sighting

    def hold(self) -> None:
        """From now on hold what is whole, also what was looked into before."""
        self.holding.on = True
        self._found.clear()

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
        """Its step: as its name says it, but for names like epoch-3, where the trainer's own word goes before the number."""
        step = step_of(candidate.label)
        if is_worded(candidate.label) or STATE not in candidate.times:
            return step if step is not None or not (candidate.times or candidate.fixed) else step_of("", candidate.bring())
        said = step_of("", candidate.bring())
        return step if said is None else said

    def _note_state(self, candidate: Candidate) -> bool:
        """Note since when a candidate is as it is; whether it changed since the last look."""
        changed = self._since.get(candidate.name, ("", 0.0))[0] != candidate.state
        if changed:
            self._since[candidate.name] = candidate.state, time.monotonic()
        return changed

    def _unsettled(self, candidate: Candidate, changed: bool, *, patient: bool) -> str:
        """Why a candidate may still be written; empty where nothing says so."""
        if candidate.fixed or self._marked(candidate):
            return ""
        if self.series.marker is not None and self.series.marker not in candidate.times:
            return f"no {self.series.marker} yet"
        since = self._since[candidate.name][1]
        return "it is being written" if patient and (changed or time.monotonic() - since < self.series.quiet_seconds) else ""

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
            except OSError as error:
                return f"not readable: {error.strerror or error}"
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
            return self._under(whole, candidate.name).plus(folder)
        if whole.tokenizer:
            return Weights(base=folder)
        base = self._base_or(whole, candidate.name)().base
        return Weights(base=with_tokenizer(folder, base, self.holding.folder / f"whole-{step}-{candidate.state[:12]}"))

    def _under(self, whole: Whole, name: str) -> Weights:
        """What an adapter lies on. An adapter that a training went on with is step 0, and its later ones lie on the model below it, not on it."""
        stated = self._base_or(whole, name)()
        if self._base is not None and stated.adapters and whole.base is not None:
            with suppress(UserError):  # what it names is not here: what is stated holds
                named = _base_of(whole, name)
                lower = [Weights(base=stated.base, adapters=stated.adapters[:count]) for count in range(len(stated.adapters))]
                if any(self._content(named) == self._content(one) for one in lower):
                    return named
        return stated

    def _base_or(self, whole: Whole, name: str) -> Callable[[], Weights]:
        if self._base is not None:
            return self._base
        if whole.base is None:
            lacks = "an adapter that names no base" if whole.adapter else "a checkpoint without a tokenizer"
            raise UserError(lacks, where=name, fix="name the model that the training started from: --base, or `base:` of the series")
        return cache(partial(_base_of, whole, name))

    def _apart_from_other_bases(self, sighting: Sighting) -> None:
        """Leave out adapters on another base than the first one's: what lies between the two is no drift of this training."""
        if self._base is not None or not sighting.whole:
            return
        adapters = {step: one for step, one in sighting.whole.items() if one.adapter()}
        named = {
            step: (found[0].base, found[0].revision)
            for step, one in adapters.items()
            if isinstance(found := self._found[one.name, one.state], tuple)
        }
        first = min(adapters, default=0)
        for step in [step for step, base in named.items() if base != named[first]]:
            with suppress(UserError):  # a base that is not here is told by who asks for it
                if (own := _without_last(adapters[step].weights())) != (theirs := _without_last(adapters[first].weights())) and (
                    self._content(own) != self._content(theirs)
                ):
                    what = f"an adapter on {named[step][0]}, and the first of the series is one on {named[first][0]}: two trainings"
                    sighting.broken[sighting.whole.pop(step).name] = what

    def _content(self, weights: Weights) -> str:
        """Fingerprint of what adapters lie on, made once."""
        known = weights.model_dump_json()
        if known not in self._contents:
            self._contents[known] = weights.fingerprint()
        return self._contents[known]

    def _with_base(self, sighting: Sighting) -> None:
        """Step 0 is the model that the training started from, where it is known."""
        if not sighting.whole:
            return
        if (first := sighting.whole.get(0)) is not None:
            if self._base is not None and 0 not in self.series.steps.values() and self._content(self._base()) != first.fingerprint():
                raise UserError(
                    f"a checkpoint of step 0, {first.name}, that is not the base {self.series.base}: which of them is the start?",
                    where=", ".join(self.series.places),
                    fix="leave the base out, or give the checkpoints by step, {0: base, 1: the first}",
                )
            return
        first = sighting.whole[min(sighting.whole)]
        if self._base is None and not first.adapter():
            return
        start = self._base or cache(lambda: _without_last(first.weights()))
        sighting.whole = {
            0: Sighted(0, self.series.base or "the adapters' base", "", start, cache(lambda: start().fingerprint()), lambda: False)
        } | sighting.whole


def _base_of(whole: Whole, adapter: str) -> Weights:
    """The base that an adapter or a checkpoint without a tokenizer names, taken from where it lies if that is a relative path.

    Raises:
        UserError: It is not here, and the hub does not give it.
    """
    reference = base_reference(str(whole.base), whole.revision, Path(adapter).parent)
    remedy = "name the model that the training started from: --base, or `base:` of the series"
    if reference is None and _ON_HUB.fullmatch(str(whole.base)):
        reference = f"hf:{whole.base}"
    if reference is None:
        raise UserError(f"its {ADAPTER_CONFIG} names the base {whole.base}, which is not here", where=adapter, fix=remedy)
    try:
        return _weights_of(reference)
    except UserError as error:
        what = f"its {ADAPTER_CONFIG} names the base {whole.base}: {error.what}"
        raise type(error)(what, where=adapter, fix=f"{remedy}; or {error.fix}" if error.fix else remedy) from error


def _without_last(weights: Weights) -> Weights:
    """What an adapter lies on: a model, which may have adapters itself (a DPO on the adapter of an SFT)."""
    return Weights(base=weights.base, adapters=weights.adapters[:-1])


def _weights_of(reference: str) -> Weights:
    return resolve_weights(brought(reference))


@lru_cache(maxsize=1024)
def _length(folder: Path) -> int | None:
    """Optimizer steps of the whole training, as a checkpoint says it."""
    length = trainer_state(folder).get("max_steps")
    return length if type(length) is int and 0 < length <= LARGEST_STEP else None
