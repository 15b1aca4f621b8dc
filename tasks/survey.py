"""How a list of stages stands: what is there, what is not, and why; read from the manifests, without running anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from valuedrift.fingerprint import fingerprint
from valuedrift.storage.manifest import Entry
from valuedrift.tasks.result import NAMED, Address, NotYetError, Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.work import Work

_GONE = "finished, but what it left outside the tables is gone"


class State(StrEnum):
    """Whether a stage's result lies in the store."""

    CACHED = "cached"
    REUSABLE = "reusable"
    MISSING = "missing"
    WAITS = "waits"


@dataclass(frozen=True, slots=True)
class Standing:
    """How one stage stands.

    Attributes:
        stage: The stage.
        state: Whether its result is there.
        why: What there is, or what differs, in words.
        key: Key of its result; None where that cannot be known yet.
        from_older_version: Whether a part of its tables is there, written by a version that did not have the others.
        reference: Where its result lies, if it is there.
    """

    stage: Stage
    state: State
    why: str
    key: str | None = None
    from_older_version: bool = False
    reference: Reference | None = None


def survey(work: Work, stages: Sequence[Stage]) -> list[Standing]:
    """How every stage stands, in the order of the list.

    Args:
        work: What stages share.
        stages: Each behind those that it needs.
    """
    references: dict[Stage, Reference] = {}
    standings: dict[Stage, Standing] = {}
    for stage in stages:
        standings[stage] = _standing(work, stage, standings, references)
    needing = unfinished_needing(list(standings.values()))
    for stage in reversed(list(standings)):  # those that need it before those that it needs: one that is done again needs, too
        if stage.left_outside is None or standings[stage].state not in (State.CACHED, State.REUSABLE):
            continue
        if missing := [one for one in needing[stage] if not stage.left_outside(work, references[stage], [one])]:
            known = stage.why_gone(work, references[stage]) if stage.why_gone is not None else None
            because = f" ({known})" if known else ""
            why = f"{_GONE}{because}, and {_labels(missing)} needs it"
            standings[stage] = Standing(stage, State.MISSING, why, standings[stage].key)
            for need in stage.needs:
                needing[need].append(stage)
    return list(standings.values())


def unfinished_needing(standings: Sequence[Standing]) -> dict[Stage, list[Stage]]:
    """For every stage, those that are not done and need it."""
    needing: dict[Stage, list[Stage]] = {standing.stage: [] for standing in standings}
    for standing in standings:
        if standing.state in (State.MISSING, State.WAITS):
            for need in standing.stage.needs:
                needing[need].append(standing.stage)
    return needing


def trained_again(work: Work, stages: Sequence[Stage]) -> list[str]:
    """Stages that are done and will be done again, because what they left outside the tables is gone and something needs it; and why."""
    return [
        f"{one.stage.label} is done again: {one.why}"
        for one in survey(work, stages)
        if one.state is State.MISSING and one.stage.left_outside is not None and one.why.startswith(_GONE)
    ]


def complete(standings: Sequence[Standing]) -> bool:
    """Whether nothing is left to do."""
    return all(standing.state is State.CACHED for standing in standings)


def difference(work: Work, stage: Stage, identity: Mapping[str, Any]) -> str:
    """Which parts of an identity differ from what lies at the same place, or else from the nearest result of its kind."""
    if not isinstance(stage.result, Address):
        return "never done"
    wanted = _flat(identity)
    nearest = stage.result.before(work) or max(
        work.store.entries(stage.result.tables[-1]), key=lambda entry: len(wanted.items() & _flat(entry.identity).items()), default=None
    )
    if nearest is None:
        return "never done"
    known = _flat({name: value for name, value in nearest.identity.items() if name != NAMED})
    parts = [
        f"{name}: {known.get(name, 'unset')} → {wanted.get(name, 'unset')}"
        for name in sorted(wanted.keys() | known.keys())
        if known.get(name) != wanted.get(name)
    ]
    return f"differs from {_place(nearest)} in " + ", ".join(parts) if parts else "never done"


def _standing(work: Work, stage: Stage, standings: Mapping[Stage, Standing], references: dict[Stage, Reference]) -> Standing:
    remark = f"; {stage.remark}" if stage.remark else ""
    unfinished = [need for need in stage.needs if standings[need].state in (State.MISSING, State.WAITS)]
    waits = f"waits for {unfinished[0].label}" + (f" and {len(unfinished) - 1} more" if len(unfinished) > 1 else "") if unfinished else ""
    try:
        identity = stage.identity([references[need] for need in stage.needs])
    except (KeyError, NotYetError):  # the key of a result that it needs is not known yet, or its rows are not there
        return Standing(stage, State.WAITS, waits + remark)
    key = fingerprint(dict(identity))
    references[stage] = Reference(key=key)
    named = stage.named([references[need] for need in stage.needs]) if stage.named is not None else ""
    if (here := stage.result.here(work, key, named)) is not None:
        references[stage] = here
        return Standing(stage, State.CACHED, "there" + remark, key, reference=here)
    if stage.named is None and (equal := stage.result.elsewhere(work, key)) is not None:
        references[stage] = equal
        return Standing(stage, State.REUSABLE, f"equal work gave it before: {_words(equal.partition)}" + remark, key)
    if unfinished:
        return Standing(stage, State.WAITS, waits + remark, key)
    lacking = stage.result.lacking(work, key) if isinstance(stage.result, Address) else []
    if lacking:
        why = f"made by an older version, without {', '.join(lacking)}; these are made from the tables that are there"
    elif (before := stage.result.before(work)) is not None and before.key == key:
        other = before.identity.get(NAMED, named) != named
        why = "its rows have other names of runs or judges" if other else "its Parquet object is gone"
    else:
        why = difference(work, stage, identity)
    return Standing(stage, State.MISSING, why + remark, key, from_older_version=bool(lacking))


def _place(entry: Entry) -> str:
    return _words(entry.partition)


def _labels(stages: Sequence[Stage]) -> str:
    return stages[0].label + (f" (and {len(stages) - 1} more)" if len(stages) > 1 else "")


def _words(partition: Mapping[str, str | int]) -> str:
    return " ".join(str(value) for value in partition.values())


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested identity as ``algorithm.learning_rate`` → text."""
    flat: dict[str, str] = {}
    for name, content in value.items():
        if isinstance(content, Mapping):
            flat.update(_flat(content, f"{prefix}{name}."))
        else:
            flat[prefix + name] = str(content)
    return flat
