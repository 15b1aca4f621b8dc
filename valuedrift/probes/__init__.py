"""Probes: the questions that are put to every checkpoint, with topic and polarity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from valuedrift.errors import DataError, UserError
from valuedrift.fingerprint import fingerprint, seed_from
from valuedrift.starter import probe_pairs
from valuedrift.tabular import KINDS, kind_of_file, read_frame


@dataclass(frozen=True, slots=True)
class Probe:
    """One question."""

    probe_set: str
    prompt_id: str
    topic: str
    prompt: str
    polarity: int | None
    """+1: yes supports the topic's proposition; −1: yes opposes it; None: not known."""
    pair_id: str
    language: str = "en"
    source: str = ""


def load_probes(reference: str, *, topics: Sequence[str] | None = None, per_topic: int | None = None) -> list[Probe]:
    """Load a probe set and choose from it.

    Args:
        reference: ``starter``, or a Parquet, CSV or JSONL file with at least prompt_id, topic, prompt.
        topics: Topics to keep; all by default.
        per_topic: Probes a topic, whole pairs first, chosen by a hash of the pair (the same on every machine); all by default.

    Returns:
        Probes ordered by topic and prompt_id.

    Raises:
        UserError: An unknown topic, or a file that is no probe set.
    """
    probes = _starter() if reference == "starter" else _from_file(Path(reference))
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
    return pl.DataFrame([asdict(probe) for probe in probes]).with_columns(pl.col("polarity").cast(pl.Int8))


def probes_fingerprint(probes: Sequence[Probe]) -> str:
    """Content hash of what is asked: ids, topics, prompts, polarities; independent of the order."""
    return fingerprint(sorted([probe.prompt_id, probe.topic, probe.prompt, str(probe.polarity), probe.pair_id] for probe in probes))


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


def _from_file(path: Path) -> list[Probe]:
    if kind_of_file(path) not in KINDS:
        raise UserError("not a probe set", where=str(path), fix="give `starter`, or a .parquet, .csv or .jsonl file")
    if not path.exists():
        raise UserError("no such probe set", where=str(path), fix="give `starter`, or a .parquet, .csv or .jsonl file")
    frame = read_frame(path, ("prompt_id", "topic", "prompt"))
    if not frame.height:
        raise DataError("no probes in it", where=str(path))
    doubled = frame.filter(pl.col("prompt_id").is_duplicated()).get_column("prompt_id").unique().sort().to_list()
    if doubled:
        raise DataError(f"prompt_id occurs more than once: {', '.join(map(str, doubled[:3]))}", where=str(path))
    blank = frame.with_row_index("row", offset=1).filter(pl.any_horizontal(pl.col("prompt_id", "topic", "prompt").str.strip_chars() == ""))
    if blank.height:
        rows = ", ".join(map(str, blank.get_column("row").head(3)))
        raise DataError("prompt_id, topic or prompt is empty", where=f"{path}, row {rows}", fix="every probe needs all three")
    return [
        Probe(
            probe_set=str(row.get("probe_set") or path.stem),
            prompt_id=str(row["prompt_id"]),
            topic=str(row["topic"]),
            prompt=str(row["prompt"]),
            polarity=_polarity(row.get("polarity"), path, index),
            pair_id=str(row.get("pair_id") or row["prompt_id"]),
            language=str(row.get("language") or "en"),
            source=str(row.get("source") or path.name),
        )
        for index, row in enumerate(frame.iter_rows(named=True), start=1)
    ]


def _polarity(value: object, path: Path, row: int) -> int | None:
    if value is None or value == "":
        return None
    signs = {"1": 1, "+1": 1, "1.0": 1, "-1": -1, "-1.0": -1, "−1": -1}
    if str(value).strip() not in signs:
        raise DataError(f"polarity is {value}", where=f"{path}, row {row}", fix="1 (yes supports the topic's proposition) or -1")
    return signs[str(value).strip()]
