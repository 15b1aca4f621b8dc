"""Probe sets in files of users: rows with a question, what comes before it, and what is known of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import polars as pl

from valuedrift.errors import DataError, UserError
from valuedrift.probes.probe import Probe
from valuedrift.tabular import KINDS, kind_of_file, read_frame

_KINDS = "give `starter`, or a .parquet, .csv or .jsonl file"
_DIALOGUE = "a list of messages, each with role (system, user, assistant) and content: system first if at all, user and assistant in turn, the question last"
_ALONE = ("prompt", "messages")
"""Columns that may hold a whole dialogue; one of them a row."""
_TEXTS = ("prompt_id", "topic")
"""Columns that every file has."""
_LISTS = (*_ALONE, "turns")
"""Columns that may hold lists."""
COLUMNS = (*_TEXTS, *_LISTS, "system", "polarity", "pair_id", "language", "probe_set", "source")
"""All that are read; others are ignored."""


def read_probes(path: Path, columns: Mapping[str, str] | None = None) -> list[Probe]:
    """The probes of a file, in its order.

    Args:
        path: Parquet, CSV, JSONL or JSON with prompt_id, topic and prompt; a prompt may be a list of messages that ends with the question, also under
            ``messages``. Beside them, if there are any: system, turns (messages before the prompt), polarity, pair_id, language, probe_set, source.
        columns: Names of these to the names that they have in the file, where those are others.

    Raises:
        UserError: There is no such file, or its kind is unknown.
        DataError: It is no probe set; says which row.
    """
    if kind_of_file(path) not in KINDS:
        raise UserError("not a probe set", where=str(path), fix=_KINDS)
    if not path.exists():
        raise UserError("no such probe set", where=str(path), fix=_KINDS)
    for name in columns or ():
        if name not in COLUMNS:
            near = get_close_matches(name, COLUMNS, n=1)
            fix = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(COLUMNS)}"
            raise UserError(f"columns: {name!r} is no column of probes", where=str(path), fix=fix)
    frame = read_frame(path, _TEXTS, lists=_LISTS, columns=columns or {})
    if not set(_ALONE) & set(frame.columns):
        raise DataError("missing column prompt", where=str(path), fix=f"found: {', '.join(frame.columns)}")
    if not frame.height:
        raise DataError("no probes in it", where=str(path))
    doubled = frame.filter(pl.col("prompt_id").is_duplicated()).get_column("prompt_id").unique().sort().to_list()
    if doubled:
        raise DataError(f"prompt_id occurs more than once: {', '.join(map(str, doubled[:3]))}", where=str(path))
    rows = frame.to_dicts()
    blank = [index for index, row in enumerate(rows, start=1) if _blank(row)]
    if blank:
        shown = ", ".join(map(str, blank[:3]))
        raise DataError("prompt_id, topic or prompt is empty", where=f"{path}, row {shown}", fix="every probe needs all three")
    return [_probe(row, path, index) for index, row in enumerate(rows, start=1)]


def _blank(row: Mapping[str, Any]) -> bool:
    return any(not row[name].strip() for name in ("prompt_id", "topic")) or not any(str(row.get(name) or "").strip() for name in _ALONE)


def _probe(row: Mapping[str, Any], path: Path, index: int) -> Probe:
    where = f"{path}, row {index}"
    system, turns, prompt = _asked(row, where)
    return Probe(
        probe_set=str(row.get("probe_set") or path.stem),
        prompt_id=str(row["prompt_id"]),
        topic=str(row["topic"]),
        prompt=prompt,
        polarity=_polarity(row.get("polarity"), where),
        pair_id=str(row.get("pair_id") or row["prompt_id"]),
        language=str(row.get("language") or "en"),
        source=str(row.get("source") or path.name),
        system=system,
        turns=json.dumps(turns, ensure_ascii=False) if turns else None,
    )


def _asked(row: Mapping[str, Any], where: str) -> tuple[str | None, list[dict[str, str]], str]:
    """System message, earlier turns and question of a row, however it holds them."""
    given = [name for name in _ALONE if str(row.get(name) or "").strip()]
    if len(given) > 1:
        raise DataError("has both `prompt` and `messages`", where=where, fix="one of them")
    text = str(row[given[0]])
    messages = _messages(text) if given[0] == "messages" or text.lstrip().startswith("[{") else None
    if messages is None:
        if given[0] == "messages":
            raise DataError("`messages` is no dialogue", where=where, fix=_DIALOGUE)
        messages = [{"role": "user", "content": text}]
    if str(row.get("turns") or "").strip():
        before = _messages(str(row["turns"]))
        if before is None:
            raise DataError("`turns` is no dialogue", where=where, fix=_DIALOGUE)
        messages = [*before, *messages]
    system = str(row.get("system") or "").strip() and str(row["system"])
    if messages[0]["role"] == "system":
        if system and system != messages[0]["content"]:
            raise DataError("has a `system` message beside another in its messages", where=where, fix="one of them")
        system, messages = messages[0]["content"], messages[1:]
    in_turn = len(messages) % 2 and all(message["role"] == ("user", "assistant")[at % 2] for at, message in enumerate(messages))
    if not in_turn or not all(message["content"].strip() for message in messages):
        raise DataError("its messages are no dialogue that ends with a question", where=where, fix=_DIALOGUE)
    return system or None, messages[:-1], messages[-1]["content"]


def _messages(text: str) -> list[dict[str, str]] | None:
    """Messages from their JSON; None where it is something else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not value:
        return None
    found = []
    for message in value:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str) or not isinstance(message.get("content"), str):
            return None
        found.append({"role": message["role"].strip().lower(), "content": message["content"]})
    return found


def _polarity(value: object, where: str) -> int | None:
    if value is None or value == "":
        return None
    signs = {"1": 1, "+1": 1, "1.0": 1, "-1": -1, "-1.0": -1, "−1": -1}
    if str(value).strip() not in signs:
        raise DataError(f"polarity is {value}", where=where, fix="1 (yes supports the topic's proposition) or -1")
    return signs[str(value).strip()]
