"""Probes: the questions that are put to every checkpoint, with topic and polarity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint, seed_from
from valuedrift.probes.files import read_probes
from valuedrift.probes.probe import Probe, same_texts
from valuedrift.starter import probe_pairs

__all__ = ["Probe", "asked_ids", "load_probes", "probes_fingerprint", "probes_frame", "same_texts", "together"]


def load_probes(
    reference: str, *, topics: Sequence[str] | None = None, per_topic: int | None = None, columns: Mapping[str, str] | None = None
) -> list[Probe]:
    """Load a probe set and choose from it.

    Args:
        reference: ``starter``, or a file, see :func:`valuedrift.probes.files.read_probes`.
        topics: Topics to keep; all by default.
        per_topic: Probes a topic, whole pairs first, chosen by a hash of the pair (the same on every machine); all by default.
        columns: Names of columns to the names that a file has for them, e.g. {prompt: question}.

    Returns:
        Probes ordered by topic and prompt_id.

    Raises:
        UserError: An unknown topic, or a file that is no probe set.
    """
    if reference == "starter" and columns:
        raise UserError("the packaged probes have no columns to rename", where="probes.columns", fix="`columns` is for a file")
    probes = _starter() if reference == "starter" else read_probes(Path(reference), columns)
    known = sorted({probe.topic for probe in probes})
    for topic in topics or ():
        if topic not in known:
            near = get_close_matches(topic, known, n=1)
            fix = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise UserError(f"no topic {topic!r} in probe set {reference!r}", where="probes.topics", fix=fix)
    wanted = set(topics) if topics is not None else set(known)
    chosen = [probe for topic in known if topic in wanted for probe in _choose([p for p in probes if p.topic == topic], per_topic)]
    return sorted(chosen, key=lambda probe: (probe.topic, probe.prompt_id))


def probes_frame(probes: Sequence[Probe]) -> pl.DataFrame:
    """The rows of the probes table."""
    return pl.DataFrame(
        [asdict(probe) for probe in probes],
        schema_overrides={"polarity": pl.Int8, **dict.fromkeys(("system", "turns", "persona", "options"), pl.String)},
        infer_schema_length=None,
    )


def together(sets: Sequence[Sequence[Probe]]) -> list[Probe]:
    """Several probe sets as the questions of one study, in their order.

    A topic that an earlier set has, too, is another topic, and named with its set: ``immigration (mine)``.

    Args:
        sets: Chosen probes; one set may come several times, with other topics.

    Raises:
        UserError: A prompt is asked twice.
    """
    topics: dict[str, str] = {}
    found: dict[tuple[str, str], Probe] = {}
    for probe in (probe for chosen in sets for probe in chosen):
        if (probe.probe_set, probe.prompt_id) in found:
            what = f"prompt {probe.prompt_id!r} of probe set {probe.probe_set!r} is asked twice"
            raise UserError(
                what, where="probes", fix="of a set that is named several times, name each topic once; two files need names of their own"
            )
        own = topics.setdefault(probe.topic, probe.probe_set) == probe.probe_set
        found[probe.probe_set, probe.prompt_id] = probe if own else replace(probe, topic=f"{probe.topic} ({probe.probe_set})")
    return list(found.values())


def asked_ids(probes: Sequence[Probe]) -> list[str]:
    """What tells probes apart where they are drawn: the prompt_id, with its set where several sets have it."""
    times = Counter(probe.prompt_id for probe in probes)
    return [probe.prompt_id if times[probe.prompt_id] == 1 else f"{probe.probe_set}/{probe.prompt_id}" for probe in probes]


def probes_fingerprint(probes: Sequence[Probe], *, several: bool = False) -> str:
    """Content hash of what is asked: ids, topics, prompts with what comes before them, polarities; independent of the order.

    Args:
        probes: The questions.
        several: Whether they are of several sets; then also of which each is.
    """

    def asked(probe: Probe) -> list[str]:
        before = [probe.system or "", probe.turns or ""] if probe.before else []
        of = [probe.probe_set] if several else []
        more = [f"{name}: {value}" for name in ("persona", "options") if (value := getattr(probe, name)) is not None]
        return [*of, probe.prompt_id, probe.topic, probe.prompt, str(probe.polarity), probe.pair_id, *before, *more]

    return fingerprint(sorted(map(asked, probes)))


def _choose(probes: list[Probe], count: int | None) -> list[Probe]:
    if count is None or count >= len(probes):
        return probes
    pairs: dict[str, list[Probe]] = {}
    for probe in probes:
        pairs.setdefault(probe.pair_id, []).append(probe)
    order = sorted(pairs, key=lambda pair: seed_from("choose", pair))
    return [probe for pair in order for probe in pairs[pair]][:count]


def _starter() -> list[Probe]:
    return [
        Probe("starter", f"{pair['pair_id']}-{suffix}", topic, pair[wording], polarity, pair["pair_id"], source="valuedrift starter set")
        for topic, pair in probe_pairs()
        for wording, suffix, polarity in (("for", "f", 1), ("against", "a", -1))
    ]
