"""Whether a judge marks its own work: one that selected answers, or was fitted on them, finds what it looked for, and proves nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from valuedrift.fingerprint import fingerprint
from valuedrift.judges.base import JudgeBase
from valuedrift.judges.calibrated import ReadingJudge, read_calibration
from valuedrift.words import counted, listed


class Kin(StrEnum):
    """How much two judges have in common; names and paths do not matter, content does."""

    SAME = "same"
    """They give the same verdicts."""
    RETUNED = "retuned"
    """The same readers, calibrated or weighed otherwise: they err on the same answers."""
    SHARED = "shared"
    """Some of their readers are the same."""
    OTHER = "other"
    """Nothing that can be seen here."""


@dataclass(frozen=True, slots=True)
class Kinship:
    """What an auditor has in common with the judge that selected."""

    kin: Kin
    shared: tuple[str, ...]
    """Names, as the auditor has them, of readers that the selector has too."""

    def words(self, selector: str, auditor: str) -> str | None:
        """What to know of it; None where the two have nothing in common.

        Args:
            selector: Name of the judge that selected.
            auditor: Name of the judge that audits.
        """
        name = f"{auditor!r}" if auditor != selector else f"{auditor!r}, given as the auditor,"
        if self.kin is Kin.SAME:
            return f"{name} is the judge that selected ({selector!r}): it finds what it selected by, which is no evidence"
        if self.kin is Kin.RETUNED:
            return f"{name} reads with nothing but what {selector!r} selected by, calibrated or weighed otherwise: it shares its errors, and is weak evidence"
        if self.kin is Kin.SHARED:
            return f"{name} is made of {listed(self.shared)} among others, which selected too ({selector!r}): it is not independent"
        return None


@dataclass(frozen=True, slots=True)
class Mark:
    """What a judge is known by later, where it is not at hand any more."""

    identity: str
    """Fingerprint of its identity."""
    readers: Mapping[str, str]
    """Names of everything in it that reads answers, by fingerprint without calibration."""


def mark_of(judge: JudgeBase) -> Mark:
    """What a judge is known by.

    Raises:
        UserError: Its weights are missing.
    """
    return Mark(fingerprint(judge.identity()), {fingerprint(one.own_identity()): one.name for one in _reading(judge)})


def kinship(selector: JudgeBase | Mark, auditor: JudgeBase) -> Kinship:
    """What two judges have in common, by the content of what reads.

    Args:
        selector: The judge that selected, or what it is known by.
        auditor: The one that audits.

    Raises:
        UserError: Weights of one are missing.
    """
    ours, theirs = selector if isinstance(selector, Mark) else mark_of(selector), mark_of(auditor)
    shared = tuple(name for key, name in theirs.readers.items() if key in ours.readers)
    if ours.identity == theirs.identity:
        return Kinship(Kin.SAME, shared)
    if not shared:
        return Kinship(Kin.OTHER, ())
    return Kinship(Kin.RETUNED if set(theirs.readers) <= set(ours.readers) else Kin.SHARED, shared)


def own_labels(judge: JudgeBase, prompts: Sequence[str]) -> str | None:
    """What to know of figures on answers to prompts that a calibration of the judge was fitted on; None where it was not, or has none.

    Args:
        judge: The judge; the members of a panel count.
        prompts: Texts of the prompts that it is measured on, one an answer.

    Raises:
        UserError: A calibration is missing or made for another judge.
    """
    calibrations = [
        (one.name, read_calibration(Path(one.calibration), one.own_identity())) for one in _reading(judge) if one.calibration is not None
    ]
    unknown = [name for name, one in calibrations if not one.fitted_on]
    seen = {mark for _, one in calibrations for mark in one.fitted_on}
    met = sum(fingerprint(prompt) in seen for prompt in prompts)
    if met:
        return (
            f"{met:,} of {counted(len(prompts), 'answer')} are to prompts that a calibration of {judge.name} was fitted on: there its figures flatter it; "
            "what it is worth out of sample `valuedrift judge calibrate` showed"
        )
    if unknown:
        return f"the calibration of {listed(unknown)} does not say what it was fitted on: if on these answers, its figures flatter it"
    return None


def _reading(judge: JudgeBase) -> Iterator[ReadingJudge]:
    """Everything in a judge that reads answers."""
    for member in judge.made_of:
        yield from _reading(member)
    if isinstance(judge, ReadingJudge):
        yield judge
