"""Whether judges know the language of what they are given to read: one that does not judges at random, and nobody sees it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from valuedrift.errors import UserError
from valuedrift.judges.base import JudgeBase
from valuedrift.judges.calibrated import ReadingJudge
from valuedrift.languages import languages_of, primary
from valuedrift.probes import Probe
from valuedrift.words import counted, listed

_SURE = 0.2
"""Share of probes that seem to be in another language from which on a set is refused; fewer are told of."""
_ENGLISH = "en"
"""What a probe is taken for that says nothing else: only then its text is looked at."""


def check_languages(judges: Iterable[JudgeBase], probes: Sequence[Probe], where: str) -> list[str]:
    """Refuse probes in a language that a judge does not know.

    Args:
        judges: Who reads the answers to them.
        probes: Probes with their languages; those with options are read by no judge.
        where: The probe set, for messages.

    Returns:
        What to know of probes that are perhaps in another language, but are too few to be sure of.

    Raises:
        UserError: A judge knows some languages only, and probes say that they are in another, or clearly are.
    """
    notes, judged = [], [probe for probe in probes if not probe.options]
    for judge in judges:
        known = _known(judge)
        if known is None:
            continue
        told = [probe for probe in judged if (tag := primary(probe.language)) != _ENGLISH and tag not in known]
        seen = [probe for probe in judged if primary(probe.language) == _ENGLISH and _elsewhere(probe.prompt, known)]
        if not told and not seen:
            continue
        foreign = [*told, *seen]
        tags = sorted({*(primary(probe.language) for probe in told), *(tag for probe in seen for tag in languages_of(probe.prompt))})
        examples = "; ".join(f"{probe.prompt_id}: {probe.prompt[:80]!r}" for probe in foreign[:3])
        knows = f"judge {judge.name!r} knows {listed(sorted(known))} only"
        what = f"{len(foreign)} of {counted(len(judged), 'probe')} {'are' if told else 'seem to be'} in another language ({listed(tags, 4)}): {examples}"
        if told or len(seen) >= _SURE * len(judged):
            fix = f"name a judge that knows it; or, if this one does, say so: `languages: [{tags[0]}]` (or `languages: any`) under it"
            raise UserError(f"{knows}, and {what}", where=where, fix=fix)
        notes.append(f"{knows}; {what}")
    return notes


def foreign_texts(judge: JudgeBase, prompts: Sequence[str]) -> str | None:
    """What to know of a dataset's prompts that are in a language which the judge does not know; None where there is nothing to say."""
    known = _known(judge)
    foreign = [prompt for prompt in prompts if _elsewhere(prompt, known)] if known is not None else []
    if known is None or not foreign:
        return None
    tags = sorted({tag for prompt in foreign for tag in languages_of(prompt)})
    where = f"{len(foreign):,} of {counted(len(prompts), 'prompt')} seem to be in another language ({listed(tags, 4)}): {foreign[0][:80]!r}"
    return f"judge {judge.name!r} knows {listed(sorted(known))} only, and {where}; what it says of their answers is chance"


def _known(judge: JudgeBase) -> frozenset[str] | None:
    """Languages that a judge knows; None for any."""
    tags = judge.known_languages if isinstance(judge, ReadingJudge) else None
    return None if tags is None else frozenset(map(primary, tags))


def _elsewhere(text: str, known: frozenset[str]) -> bool:
    """Whether a text is surely in a language that is not known."""
    found = languages_of(text)
    return bool(found) and found.isdisjoint(known)
