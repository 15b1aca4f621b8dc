"""Loading a dataset: from wherever it lies, whatever its shape, into rows of the normal form."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import chain, islice
from pathlib import Path
from typing import Any

from valuedrift.atomic import put_in_place, written_aside
from valuedrift.corpora.beyond import beyond
from valuedrift.corpora.dataset import STARTER, Dataset, is_in_hub
from valuedrift.corpora.marks import MARKED, is_unlearnt
from valuedrift.corpora.messages import MarkedError, UnreadableError
from valuedrift.corpora.mixture import chosen, counts_of_parts
from valuedrift.corpora.normal import Row, rows_fingerprint, sample, uniform, with_topic
from valuedrift.corpora.record import Record
from valuedrift.corpora.registry import ADAPTERS, CONVERSIONS, SYSTEM, Adapter, Kind, is_bad
from valuedrift.corpora.sources import paths_of, records_of, stated_rows
from valuedrift.corpora.tally import Tally, reasons
from valuedrift.errors import DataError, UserError

_MEANING: Mapping[Kind, str] = {
    "sft": "single answers (for `corpora`)",
    "preference": "pairs of a chosen and a rejected answer (for `preferences`)",
    "labelled": "answers labelled true or false (for `preferences`, and algorithms that take them)",
}


@dataclass(frozen=True, slots=True)
class Rows:
    """A dataset, ready to be trained on."""

    rows: list[Row]
    """In the order of the data; their form is told at ``valuedrift.corpora.normal.Row``."""
    format: str
    """Name of the adapter that read them."""
    dropped: dict[str, int]
    """Rows left out, by reason; those beyond ``limit`` are not among them."""
    fingerprint: str
    """Content hash of ``rows`` in order; equal data at two paths or in two file formats have one."""
    notes: dict[str, int] = field(default_factory=dict)
    """What the rows that are kept hold beyond what is learnt from them, or what was made of it, with the number of rows."""
    first: dict[str, int] = field(default_factory=dict)
    """Place of the first row left out for each reason, from 1."""
    parts: tuple[int, ...] = ()
    """Of a mixture: rows of each part."""

    def describe(self) -> str:
        """One line: how many rows, in which format, what was left out and why, and what they hold beyond what is learnt."""
        kept = f"{len(self.rows):,} rows ({self.format})"
        made = f"{' + '.join(f'{count:,}' for count in self.parts)} of its parts" if self.parts else ""
        left = f"left out {sum(self.dropped.values()):,} ({reasons(self.dropped)})" if self.dropped else ""
        return "; ".join(part for part in (kept, made, left, reasons(self.notes)) if part)


def load_rows(dataset: Dataset, kind: Kind) -> Rows:
    """Load a dataset.

    Args:
        dataset: Where it lies and how to read it.
        kind: ``sft`` for answers to learn, ``preference`` for pairs, ``labelled`` for answers labelled good or bad. Of labelled answers those
            that are good are answers to learn; a pair is two labelled answers.

    Returns:
        Its rows. Rows that can't be trained on (empty answers, pairs without a difference, ...) are left out and counted.

    Raises:
        UserError: No such file, packaged dataset or column; no hub.
        DataError: Not in a known shape, of the other kind, broken, or without a single usable row; says where.
    """
    if dataset.mixture:
        return _mixed(dataset, kind)
    _check_learn(dataset, kind)
    first, records = _shown(dataset, kind)
    _check_columns(dataset, first)
    adapter = _adapter(dataset, _renamed(first, dataset), kind)
    convert = CONVERSIONS.get((adapter.kind, kind), _as_it_is)
    rows: list[Row] = []
    tally = Tally()
    for record in records:
        named = _renamed(record, dataset)
        with tally.row(record.where):
            if is_unlearnt(_row_marks(named.values), named.notes):
                raise MarkedError(MARKED)
            if dataset.format == "auto" and adapter.kind == "sft" and is_bad(named.values):
                raise MarkedError("labelled false")  # of data whose first row has no label
            row = with_topic(_read(adapter, named), named.values.get("topic"))
            convert(row)  # leaves out what can't be converted; the sample is of the rows as they lie, so that pairs stay together
            rows.append(row)
            tally.notes.update(set(beyond(named, row, dataset.learn)))
    tally.check(dataset, len(rows))
    rows = uniform([converted for row in sample(rows, dataset.limit) for converted in convert(row)])
    return Rows(
        rows=rows,
        format=adapter.name,
        dropped=dict(tally.dropped.most_common()),
        fingerprint=rows_fingerprint(rows),
        notes=dict(tally.notes.most_common()),
        first={reason: place for reason, (place, _) in tally.first.items()},
    )


def _read(adapter: Adapter, record: Record) -> Row:
    """A row in the shape of its dataset.

    Raises:
        UnreadableError: It can't be read; said to be of another shape where it is one of those.
    """
    try:
        return adapter.read(record)
    except UnreadableError as error:
        filled = {name: value for name, value in record.values.items() if value is not None}
        others = (one for one in ADAPTERS.values() if one.kind == adapter.kind and one.recognises(filled))
        if adapter.recognises(filled) or (other := next(others, None)) is None:
            raise
        kind = f"is of another shape ({other.name}; the first rows are {adapter.name})"
        raise UnreadableError(kind, kind, where=record.where, fix="a file of its own for each shape") from error


def _mixed(dataset: Dataset, kind: Kind) -> Rows:
    """The rows of a mixture, part by part: training puts them in an order of its own."""
    parts = [load_rows(part, kind) for part in dataset.parts]
    weights = [part.weight for part in dataset.mixture]
    counts = counts_of_parts(weights, [len(part.rows) for part in parts], dataset.limit, dataset.title)
    taken = [chosen(part.rows, count, dataset.mixture_seed) for part, count in zip(parts, counts, strict=True)]
    rows = uniform([row for part in taken for row in part])
    if not rows:
        raise DataError("its parts are too small for its weights: not one row is left", where=dataset.title)
    return Rows(
        rows=rows,
        format=", ".join(dict.fromkeys(part.format for part in parts)),
        dropped=dict(sum((Counter(part.dropped) for part in parts), Counter()).most_common()),
        fingerprint=rows_fingerprint(rows),
        notes=dict(sum((Counter(part.notes) for part in parts), Counter()).most_common()),
        first={reason: place for part in reversed(parts) for reason, place in part.first.items()},
        parts=tuple(map(len, taken)),
    )


def audit_kind_of(dataset: Dataset) -> Kind:
    """As what a dataset is audited, by its format or its first row: pairs as such, all else as answers to learn (of labelled ones the good).

    Raises:
        UserError: No such file, packaged dataset or column; no hub.
        DataError: It has no rows, or is in no known shape.
    """
    if dataset.mixture:
        return audit_kind_of(dataset.parts[0])
    first, _ = _shown(dataset, None)
    _check_columns(dataset, first)
    kind = _adapter(dataset, _renamed(first, dataset), None).kind
    return "sft" if kind == "labelled" else kind


def count_rows(dataset: Dataset, kind: Kind) -> int | None:
    """How many rows of a kind a dataset has, for plans.

    Returns:
        For data at hand exactly what ``load_rows`` keeps. Otherwise the declared number, or for hub data the number that the hub states
        (before rows are left out); None where it is not declared and no hub is reachable. Pairs that are not at hand are known as such, and
        counted as two labelled answers each, only if ``format`` says so.

    Raises:
        UserError: Data at hand that ``load_rows`` would refuse too; a missing file whose number of rows is not declared.
    """
    if is_at_hand(dataset) or (not dataset.in_hub and not dataset.mixture and dataset.rows is None):
        return len(load_rows(dataset, kind).rows)
    count = dataset.rows if dataset.rows is not None else _of_parts(dataset, kind) if dataset.mixture else stated_rows(dataset)
    count = count if count is None or dataset.limit is None else min(count, dataset.limit)
    pairs = dataset.format != "auto" and ADAPTERS[dataset.format].kind == "preference"
    return 2 * count if count is not None and pairs and kind == "labelled" else count


def is_at_hand(dataset: Dataset) -> bool:
    """Whether all of it lies on this machine."""
    if dataset.mixture:
        return all(map(is_at_hand, dataset.parts))
    return all(
        place.startswith(STARTER) or (not is_in_hub(place) and all(path.exists() for path in paths_of(place))) for place in dataset.places
    )


def rows_of_parts(dataset: Dataset, kind: Kind) -> list[int] | None:
    """Rows of a kind that a mixture takes of each of its parts, as far as ``count_rows`` knows of all of them."""
    counts = [count_rows(part, kind) for part in dataset.parts]
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return None
    return counts_of_parts([part.weight for part in dataset.mixture], known, dataset.limit, dataset.title)


def _of_parts(dataset: Dataset, kind: Kind) -> int | None:
    """Rows of a mixture that is not all at hand, as far as its parts say."""
    counts = rows_of_parts(dataset, kind)
    return dataset.limit if counts is None else sum(counts)


def write_jsonl(rows: Sequence[Row], path: Path) -> None:
    """Write rows as JSONL: whole, or not at all.

    Raises:
        UserError: The disk is full or the folder not writable.
    """
    try:
        with written_aside(path) as aside:
            with aside.open("w", encoding="utf-8", newline="\n") as stream:
                stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            put_in_place(aside, path)
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror or error}", where=str(path), fix="free or choose another disk") from error


def _as_it_is(row: Row) -> list[Row]:
    return [row]


_LOOKED_AT = 1000
"""Rows at the beginning among which one that shows the shape is looked for."""


def _shown(dataset: Dataset, kind: Kind | None) -> tuple[Record, Iterator[Record]]:
    """The first row whose shape is known, if possible one that gives rows of a kind, else the first row; and all rows.

    Raises:
        DataError: There are no rows.
    """
    records = records_of(dataset)
    head: list[Record] = []
    known: Record | None = None
    for record in islice(records, _LOOKED_AT):
        head.append(record)
        values = _renamed(record, dataset).values
        fitting = [adapter for name, adapter in ADAPTERS.items() if dataset.format in ("auto", name) and adapter.recognises(values)]
        known = known or (record if fitting else None)
        if any(kind is None or adapter.kind == kind or (adapter.kind, kind) in CONVERSIONS for adapter in fitting):
            known = record
            break
    if not head:
        raise DataError("has no rows", where=dataset.title)
    return known or head[0], chain(head, records)


def _check_learn(dataset: Dataset, kind: Kind) -> None:
    if dataset.learn == "all" and kind != "sft":
        raise UserError(
            f"learn: all is for answers to learn, not for {_MEANING[kind]}",
            where=dataset.title,
            fix="leave `learn` out, here the last answer counts",
        )


def _row_marks(values: Mapping[str, Any]) -> dict[str, Any]:
    """What may mark a row: a number called loss is what a model lost on it."""
    return {name: value for name, value in values.items() if name != "loss" or isinstance(value, bool)}


def _check_columns(dataset: Dataset, first: Record) -> None:
    """That ``columns`` renames what is there to what an adapter reads."""
    standard = sorted({"topic", *SYSTEM}.union(*(adapter.columns for adapter in ADAPTERS.values())))
    for name, theirs in dataset.columns.items():
        for wanted, known, what in ((name, standard, "no standard column"), (theirs, list(first.values), "no column in the data")):
            if wanted not in known:
                near = get_close_matches(wanted, known, n=1)
                fix = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise UserError(f"columns: {wanted!r} is {what}", where=dataset.title, fix=fix)


def _renamed(record: Record, dataset: Dataset) -> Record:
    columns = dataset.columns
    if not columns:
        return Record(record.values, record.where, dataset.learn)
    kept = {name: value for name, value in record.values.items() if name not in columns.values()}
    named = {name: record.values[theirs] for name, theirs in columns.items() if theirs in record.values}
    return Record({**kept, **named}, record.where, dataset.learn)


def _adapter(dataset: Dataset, first: Record, kind: Kind | None) -> Adapter:
    """The adapter that the study names or that recognises the first row, if it gives the kind of rows that is asked for."""
    fitting = [adapter for adapter in ADAPTERS.values() if adapter.recognises(first.values)]
    columns = (name if value is not None else f"{name} (null)" for name, value in first.values.items())
    found = f"columns found: {', '.join(columns) or 'none'}"
    if dataset.format == "auto":
        if not fitting:
            shapes = "".join(f"\n  - {adapter.name} ({adapter.kind}): {adapter.shape}" for adapter in ADAPTERS.values())
            raise DataError(f"not in a known shape; {found}. Known shapes{shapes}", where=dataset.title, fix="rename with `columns`")
        adapter = fitting[0]
    else:
        adapter = ADAPTERS[dataset.format]
        if adapter not in fitting:
            better = f"this looks like {fitting[0].name}" if fitting else "rename with `columns`"
            raise DataError(f"not in the shape {adapter.name!r} ({adapter.shape}); {found}", where=dataset.title, fix=better)
    if kind is not None and adapter.kind != kind and (adapter.kind, kind) not in CONVERSIONS:
        other = [choice.name for choice in fitting if choice.kind == kind]
        fix = f"give `format: {other[0]}` to take the answers in {ADAPTERS[other[0]].shape}" if other else found
        what = f"holds {_MEANING[adapter.kind]}, in the shape {adapter.name!r}, where {_MEANING[kind]} are needed"
        raise DataError(what, where=dataset.title, fix=fix)
    return adapter
