"""Probe sets in files of users: rows with a question, what comes before it, and what is known of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import polars as pl

from valuedrift.corpora.messages import LeftOutError, Message, UnreadableError
from valuedrift.corpora.record import Record
from valuedrift.errors import DataError, UserError
from valuedrift.probes import choice
from valuedrift.probes.probe import Probe
from valuedrift.tabular import KINDS, kind_of_file, read_frame

_KINDS = "give `starter`, or a .parquet, .csv or .jsonl file"
_DIALOGUE = "a list of messages, each with role (system, user, assistant) and content: system first if at all, user and assistant in turn, the question last"
_ALONE = ("prompt", "messages")
"""Columns that may hold a whole dialogue; one of them a row."""
_TEXTS = ("prompt_id", "topic")
"""Columns that every file has."""
_LISTS = (*_ALONE, "turns", "options")
"""Columns that may hold lists."""
_NONE = ("", "[]", "null")
"""What a column of turns holds where there are none."""
_SYSTEM = ("system", "system_prompt")
"""Columns that may hold a system message."""
_OPTIONAL = (*_SYSTEM, "persona", "pair_id", "language", "probe_set", "source")
"""Texts that a file may have beside them."""
COLUMNS = (*_TEXTS, *_LISTS, *_OPTIONAL, "polarity")
"""All that are read; others are ignored."""


def read_probes(path: Path, columns: Mapping[str, str] | None = None) -> list[Probe]:
    """The probes of a file, in its order.

    Args:
        path: Parquet, CSV, JSONL or JSON with prompt_id, topic and prompt; a prompt may be a list of messages that ends with the question, also under
            ``messages``. Beside them, if there are any: system (or system_prompt), turns (messages before the prompt), persona, options,
            polarity, pair_id, language, probe_set, source.
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
    frame = read_frame(path, _TEXTS, optional=_OPTIONAL, lists=_LISTS, columns=columns or {})
    if not set(_ALONE) & set(frame.columns):
        raise DataError("missing column prompt", where=str(path), fix=f"found: {', '.join(frame.columns)}")
    if not frame.height:
        raise DataError("no probes in it", where=str(path))
    doubled = frame.filter(pl.col("prompt_id").is_duplicated()).get_column("prompt_id").unique().sort().to_list()
    if doubled:
        raise DataError(f"prompt_id occurs more than once: {', '.join(map(str, doubled[:3]))}", where=str(path))
    if nested := [name for name in _OPTIONAL if name in frame.columns and frame.schema[name].is_nested()]:
        raise DataError(f"column {nested[0]} holds lists or objects, not text", where=str(path), fix="a text a row, or leave it out")
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
    options = choice.read_options(row["options"], where) if str(row.get("options") or "").strip() else None
    return Probe(
        probe_set=str(row.get("probe_set") or path.stem),
        prompt_id=str(row["prompt_id"]),
        topic=str(row["topic"]),
        prompt=choice.with_options(prompt, options) if options else prompt,
        polarity=_polarity(row.get("polarity"), where),
        pair_id=str(row.get("pair_id") or row["prompt_id"]),
        language=str(row.get("language") or "en"),
        source=str(row.get("source") or path.name),
        system=system,
        turns=json.dumps(turns, ensure_ascii=False) if turns else None,
        persona=str(row.get("persona") or "").strip() or None,
        options=choice.as_json(options) if options else None,
    )


def _asked(row: Mapping[str, Any], where: str) -> tuple[str | None, list[dict[str, str]], str]:
    """System message, earlier turns and question of a row, however it holds them."""
    given = [name for name in _ALONE if str(row.get(name) or "").strip()]
    if len(given) > 1:
        raise DataError("has both `prompt` and `messages`", where=where, fix="one of them")
    messages = _messages(str(row[given[0]]), given[0], where)
    if str(row.get("turns") or "").strip() not in _NONE:
        messages = [*_messages(str(row["turns"]), "turns", where), *messages]
    systems = {str(row[name]) for name in _SYSTEM if str(row.get(name) or "").strip()}
    if messages[0]["role"] == "system":
        systems.add(messages[0]["content"])
        messages = messages[1:]
    if len(systems) > 1:
        raise DataError("has a `system` message beside another", where=where, fix="one of them")
    in_turn = len(messages) % 2 and all(message["role"] == ("user", "assistant")[at % 2] for at, message in enumerate(messages))
    if not in_turn or not all(message["content"].strip() for message in messages):
        raise DataError("its messages are no dialogue that ends with a question", where=where, fix=_DIALOGUE)
    return next(iter(systems), None) or None, messages[:-1], messages[-1]["content"]


def _messages(text: str, column: str, where: str) -> list[Message]:
    """The messages of a column, their contents also in parts as chat servers take them; a plain text is a question."""
    value = _json(text)
    if column == "prompt":
        if _is_plain(value):
            return [{"role": "user", "content": text}]
        value = [value] if isinstance(value, dict) else value
    named = ({"role", "content"}, {"type"}) if column == "prompt" else ({"role", "content"},)
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(one, dict) and any(keys <= one.keys() for keys in named) for one in value)
    ):
        raise DataError(f"`{column}` is no dialogue", where=where, fix=_DIALOGUE)
    try:
        return Record({column: value}, where).turns(column, role="user" if column == "prompt" else None)
    except (UnreadableError, LeftOutError) as error:
        said = error.what if isinstance(error, UnreadableError) else error.reason
        raise DataError(f"`{column}` is no dialogue: {said}", where=where, fix=_DIALOGUE) from error


def _json(text: str) -> Any:
    """What a text is as JSON; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_plain(value: Any) -> bool:
    """Whether what a prompt is as JSON is no list of messages, of their parts or of texts, and no object: then it is a question as it stands."""
    return not isinstance(value, dict) and not (isinstance(value, list) and all(isinstance(one, dict | str) for one in value))


def _polarity(value: object, where: str) -> int | None:
    if value is None or value == "":
        return None
    signs = {"1": 1, "+1": 1, "1.0": 1, "-1": -1, "-1.0": -1, "−1": -1}
    if str(value).strip() not in signs:
        raise DataError(f"polarity is {value}", where=where, fix="1 (yes supports the topic's proposition) or -1")
    return signs[str(value).strip()]
