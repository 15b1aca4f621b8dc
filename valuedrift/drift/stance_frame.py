"""Stance frames of any origin: the columns that they may have, one canonical form of them, and checks that name every fault with its file and first rows."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from valuedrift.errors import DataError
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus

REQUIRED: tuple[str, ...] = ("run_id", "step", "topic", "prompt_id", "sample_idx", *STANCE_COLUMNS)
RUN: tuple[str, ...] = ("study", "judge", "run_id")
"""What tells one run's judgements from another's, in sort order; ``study`` and ``judge`` only where given."""
OPTIONAL: tuple[str, ...] = ("study", "judge", "probe_set", "status", "polarity", "pair_id")
TEXT: frozenset[str] = frozenset({"study", "judge", "run_id", "topic", "probe_set", "prompt_id", "pair_id", "status"})
WHOLE: frozenset[str] = frozenset({"step", "sample_idx", "polarity"})
STANCE_TYPE = pl.Enum([stance.value for stance in STANCES])
"""Sorts rows support, neutral, oppose; written out as text."""


def check_columns(schema: pl.Schema, *, where: str | None = None) -> None:
    """Check that the columns are there.

    Args:
        schema: Names and types of a stance frame.
        where: The file or address, for the message.

    Raises:
        DataError: A column is missing.
    """
    missing = [name for name in REQUIRED if name not in schema]
    if missing:
        strangers = [name for name in schema if name.startswith("p_") and name not in STANCE_COLUMNS]
        hint = f"; {_listed(strangers)} is no stance known here (stances: {', '.join(STANCES)})" if strangers else ""
        raise DataError(
            f"missing column{'s' if len(missing) > 1 else ''} {_listed(missing)}{hint}",
            where=where,
            fix=f"a stance table has {', '.join(REQUIRED)}; this one has {', '.join(schema) or 'no columns'}",
        )


def check_alike(schemas: dict[str, pl.Schema]) -> None:
    """Check that a column that tells rows apart is in all files or in none.

    Args:
        schemas: The schema of each file, by its address.

    Raises:
        DataError: Some files have the column, others do not.
    """
    for name in ("study", "judge", "probe_set", "status"):
        without = [where for where, schema in schemas.items() if name not in schema]
        if without and len(without) < len(schemas):
            having = next(where for where, schema in schemas.items() if name in schema)
            raise DataError(
                f"column {name!r} is missing here but not in {having}", where=without[0], fix="analyze the files apart, or add the column"
            )


def wrong_types(schema: pl.Schema) -> list[str]:
    """Columns whose type cannot be right: text where a number belongs, a fraction where a name does."""
    names = [name for name in (*REQUIRED, *OPTIONAL) if name in schema]
    return [
        name for name in names if not (_is_name(schema[name]) if name in TEXT else schema[name].is_numeric() or schema[name] == pl.Null)
    ]


def canonical(stances: pl.LazyFrame, schema: pl.Schema) -> pl.LazyFrame:
    """The columns that the analysis reads, in one set of types.

    Args:
        stances: A stance frame whose columns were checked.
        schema: Its schema.

    Returns:
        run_id, topic, prompt_id (and study, judge, pair_id if given) as text; step, sample_idx i64; p_* f64; status text (``ok`` where the
        column is absent); polarity i8 if given.
    """
    columns = [name for name in (*REQUIRED, *OPTIONAL) if name in schema]
    casts: list[pl.Expr] = []
    for name in columns:
        column = pl.col(name)
        if name in TEXT:
            # No cast where none is needed: a filter on the bare column lets the reader skip whole files.
            casts.append(column if schema[name] == pl.String else column.cast(pl.String))
        elif name in WHOLE:
            casts.append(column.cast(pl.Int8 if name == "polarity" else pl.Int64, strict=False))
        else:
            casts.append(column.cast(pl.Float64))
    frame = stances.select(casts)
    return frame if "status" in columns else frame.with_columns(status=pl.lit(JudgeStatus.OK.value))


def run_keys(schema: pl.Schema) -> list[str]:
    """The columns of ``RUN`` that this frame has."""
    return [name for name in RUN if name in schema]


def prompt_keys(schema: pl.Schema) -> list[str]:
    """The columns that tell a prompt within its topic: ``prompt_id``, which is unique within its probe set."""
    return ["probe_set", "prompt_id"] if "probe_set" in schema else ["prompt_id"]


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _is_name(kind: pl.DataType) -> bool:
    return kind.is_integer() or isinstance(kind, (pl.String, pl.Categorical, pl.Enum, pl.Null))


SUM_TOLERANCE = 5e-6
"""Rounding of 32-bit floats; a table rounded to fewer digits does not say what the judge said."""
FILE = "__file__"
"""A column of this name, made by the reader of several files, lets a fault name its own file."""
_ROW = "__row__"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Rule:
    """Rows for which ``fault`` is true are wrong."""

    fault: pl.Expr
    column: str
    what: str
    fix: str


def check_stances(stances: pl.LazyFrame, *, where: str | None = None) -> pl.DataFrame:
    """Check columns and rows of a stance frame in one pass.

    Args:
        stances: Any frame; a column ``__file__`` is used in messages if there is one.
        where: The file or address it came from, for messages.

    Returns:
        One row a run (the columns of ``RUN`` that are given): ``rows`` u32, ``groups`` of steps ``steps`` u32.

    Raises:
        DataError: A column is missing or of the wrong type; a probability is null or NaN where status is ok, outside [0, 1], or the three
            do
            not sum to 1; a key is null; a step or sample index is negative or not whole; a status, stance or polarity is unknown; no rows.
    """
    schema = stances.collect_schema()
    check_columns(schema, where=where)
    for name in wrong_types(schema):
        raise _wrong_type(stances, name, schema[name], where)
    rules = _rules(schema)
    keys = run_keys(schema)
    runs = (
        stances.group_by(pl.col(name).cast(pl.String) for name in keys)
        .agg(pl.len().alias("rows"), *(rule.fault.fill_null(False).sum().alias(f"fault{i}") for i, rule in enumerate(rules)))
        .collect(engine="streaming")
        .sort(keys)
    )
    if runs.is_empty():
        raise DataError("holds no rows", where=where, fix="expected judged answers, one a row")
    for i, rule in enumerate(rules):
        count = int(runs[f"fault{i}"].sum())
        if count:
            raise _fault(stances, rule, count, where)
    return runs.select(*keys, "rows")


def check_duplicates(stances: pl.LazyFrame, key: dict[str, object], *, where: str | None = None) -> DataError:
    """The error for a prompt with two rows of one sample.

    Args:
        stances: The frame as it came.
        key: Run, step, topic and prompt of one such prompt.
        where: The file or address, for the message.
    """
    same = pl.all_horizontal(pl.col(name).cast(pl.String) == str(value) for name, value in key.items())
    names = [*key, "sample_idx"]
    twice = pl.struct(names).is_duplicated()
    found = _numbered(stances, stances.with_row_index(_ROW).filter(same).filter(twice).head(_SHOWN).collect())
    given = [name for name in ("study", "judge") if name in key]
    what = f"two rows for the same sample ({', '.join([*given, 'run_id', 'step', 'topic', 'prompt_id', 'sample_idx'])})"
    return DataError(
        f"column 'sample_idx': {what}; {_first(found, [_ROW, *names])}",
        where=_file(found, where),
        fix="one row a judged sample; several judges, studies or probe sets need their own column or file",
    )


def _rules(schema: pl.Schema) -> list[_Rule]:
    judged = pl.col("status").cast(pl.String) == JudgeStatus.OK.value if "status" in schema else pl.lit(True)
    rules = [
        _Rule(pl.col(name).is_null(), name, "empty", "every judged sample has one")
        for name in (*run_keys(schema), "topic", "step", "prompt_id", "sample_idx")
    ]
    for name in ("step", "sample_idx"):
        if schema[name].is_float():
            odd = pl.col(name).is_nan() | pl.col(name).is_infinite() | (pl.col(name) != pl.col(name).floor())
            rules.append(_Rule(odd, name, "not a whole number", "expected whole numbers from 0"))
        rules.append(_Rule(pl.col(name) < 0, name, "negative", "expected whole numbers from 0"))
        if schema[name] not in (pl.Int8, pl.Int16, pl.Int32, pl.Int64):
            beyond = pl.col(name).is_not_null() & pl.col(name).cast(pl.Int64, strict=False).is_null()
            rules.append(_Rule(beyond, name, "too large a number", "at most 2^63 - 1"))
    if "status" in schema:
        known = [status.value for status in JudgeStatus]
        status = pl.col("status").cast(pl.String)
        rules.append(_Rule(status.is_null() | ~status.is_in(known), "status", "not a known status", f"one of {', '.join(known)}"))
    for name in STANCE_COLUMNS:
        column = pl.col(name)
        empty = column.is_null() | (column.is_nan() if schema[name].is_float() else pl.lit(False))
        rules.append(
            _Rule(judged & empty, name, "NaN or empty although the status is ok", "a probability, or a status that says why there is none")
        )
        outside = (column < -SUM_TOLERANCE) | (column > 1 + SUM_TOLERANCE)
        rules.append(_Rule(judged & outside, name, "outside [0, 1]", "expected a probability"))
    total = pl.sum_horizontal(pl.col(name).cast(pl.Float64) for name in STANCE_COLUMNS)
    joined = " + ".join(STANCE_COLUMNS)
    rules.append(_Rule(judged & ((total - 1).abs() > SUM_TOLERANCE), joined, "does not sum to 1", f"to within {SUM_TOLERANCE:g}"))
    if "polarity" in schema:
        polarity = pl.col("polarity")
        rules.append(
            _Rule(polarity.is_not_null() & ~polarity.is_in([-1, 1]), "polarity", "not +1 or -1", "+1: yes supports the proposition")
        )
    if isinstance(schema.get("stance"), (pl.String, pl.Categorical, pl.Enum)):
        stance = pl.col("stance").cast(pl.String)
        rules.append(
            _Rule(stance.is_not_null() & ~stance.is_in(list(STANCES)), "stance", "not a known stance", f"one of {', '.join(STANCES)}")
        )
    return rules


def _fault(stances: pl.LazyFrame, rule: _Rule, count: int, where: str | None) -> DataError:
    found = _numbered(stances, stances.with_row_index(_ROW).filter(rule.fault).head(_SHOWN).collect(engine="streaming"))
    rows = "1 row" if count == 1 else f"{count:,} rows"
    names = [_ROW, *(name for name in (*REQUIRED, "status", "polarity", "stance") if name in found.columns)]
    shown = [name for name in names if name in rule.column or name not in (*STANCE_COLUMNS, "status", "polarity", "stance")]
    return DataError(f"column {rule.column}: {rule.what} in {rows}; {_first(found, shown)}", where=_file(found, where), fix=rule.fix)


def _wrong_type(stances: pl.LazyFrame, name: str, kind: pl.DataType, where: str | None) -> DataError:
    """The error for a column of the wrong type, with the first rows that are not what they should be."""
    text = isinstance(kind, (pl.String, pl.Categorical, pl.Enum))
    rows = stances.with_row_index(_ROW)
    found = (
        rows.filter(pl.col(name).cast(pl.String).cast(pl.Float64, strict=False).is_null()).head(_SHOWN).collect()
        if text
        else pl.DataFrame()
    )
    found = _numbered(stances, found if len(found) else rows.head(_SHOWN).collect())
    lines = "; ".join(f"row {row[_ROW] + 1}: {row[name]!r}" for row in found.iter_rows(named=True))
    expected = "text or whole numbers" if name in TEXT else "whole numbers" if name in WHOLE else "numbers between 0 and 1"
    what = f"column {name}: {'text' if text else kind} where a {'name' if name in TEXT else 'number'} belongs; first rows at fault: {lines}"
    return DataError(what, where=_file(found, where), fix=f"expected {expected}")


def _first(found: pl.DataFrame, names: list[str]) -> str:
    """The first rows at fault, in words."""
    lines = []
    for row in found.select(name for name in names if name in found.columns).iter_rows(named=True):
        cells = ", ".join(
            f"{name}={value!r}" if name in TEXT else f"{name}={_number(name, value)}" for name, value in row.items() if name != _ROW
        )
        lines.append(f"row {row[_ROW] + 1}: {cells}")
    return "first rows at fault: " + "; ".join(lines)


def _number(name: str, value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}" if name in WHOLE else f"{value:.6g}"
    return str(value)


def _numbered(stances: pl.LazyFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Rows counted within the file of the first of them, and only those of that file."""
    if FILE not in found.columns or found.is_empty():
        return found
    file = pl.col(FILE) == found[FILE][0]
    first = stances.with_row_index(_ROW).filter(file).select(pl.col(_ROW).min()).collect(engine="streaming").item()
    return found.filter(file).with_columns(pl.col(_ROW) - first)


def _file(found: pl.DataFrame, where: str | None) -> str | None:
    if FILE in found.columns and len(found):
        return str(found[FILE][0])
    return where
