"""Faults that pydantic finds in what a user wrote, told with the key, what is wrong, and the nearest valid key."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from valuedrift.registry import kinds_of

_SHOWN = 60
"""Longest value that a message repeats."""
_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "be a whole number"),
    "int_parsing_size": "be a whole number of less than 19 digits",
    **dict.fromkeys(("float_type", "float_parsing"), "be a number"),
    "finite_number": "be a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "be true or false"),
    **dict.fromkeys(("string_type", "string_sub_type", "bytes_type", "path_type"), "be text"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), "be a list"),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), "be keys and values"),
    "greater_than": "be greater than {gt}",
    "greater_than_equal": "be greater than or equal to {ge}",
    "less_than": "be less than {lt}",
    "less_than_equal": "be less than or equal to {le}",
    "multiple_of": "be a multiple of {multiple_of}",
    "literal_error": "be {expected}",
    "enum": "be {expected}",
    "string_too_short": "have {min_length} characters at least",
    "string_too_long": "have {max_length} characters at most",
    "string_pattern_mismatch": "be of the form {pattern}",
    "too_short": "have {min_length} entries at least",
    "too_long": "have {max_length} entries at most",
    "none_required": "be left out",
}
"""What a value must be or have, by pydantic's type of fault."""
_TYPE_FAULTS = ("union_tag_invalid", "union_tag_not_found")


def describe(error: ValidationError, expected: Any, around: Callable[[Any], tuple[str, str]] = lambda _: ("", "")) -> str:
    """All faults, one a line.

    Args:
        error: What pydantic says.
        expected: The model, or the annotation (a union, say), that was validated against.
        around: What to say before and after a fault, where more is known of it: its line, say.
    """
    lines = []
    for fault in error.errors(include_url=False):
        if fault["type"] == "too_short" and len(fault["input"]) >= fault["ctx"]["min_length"]:
            continue  # entries that are faulty themselves were not counted
        before, after = around(fault)
        lines.append(f"{before}{_fault(fault, expected)}{after}")
    return lines[0] if len(lines) == 1 else "\n  - ".join([f"{len(lines)} faults:", *lines])


def _fault(fault: Any, expected: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"unknown key `{key}`{_nearest(fault['loc'], expected)}"
    if fault["type"] == "missing":
        return f"missing key `{key}`"
    if fault["type"] in _TYPE_FAULTS:
        return _wrong_type(key, fault)
    message = what_is_wrong(fault)
    return f"`{key}`: {message}" if key else message


def what_is_wrong(fault: Any) -> str:
    """One fault without its key, in the words of this program; those of a validator of our own as they are."""
    if (words := _WORDS.get(fault["type"])) is None:
        return str(fault["msg"]).removeprefix("Value error, ")
    written = fault.get("input")
    near = get_close_matches(written, re.findall(r"'([^']+)'", str(fault["ctx"]["expected"])), n=1) if _is_choice(fault) else []
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"must {words.format(**fault.get('ctx', {}))}{_instead(written)}{hint}"


def _is_choice(fault: Any) -> bool:
    return fault["type"] in ("literal_error", "enum") and isinstance(fault.get("input"), str)


def _instead(written: Any) -> str:
    """What stands there now, where it is short enough to be told."""
    if isinstance(written, Mapping):
        return ", not keys and values"
    if isinstance(written, (list, tuple)):
        return f", not a list of {len(written)}"
    text = "nothing (null)" if written is None else str(written).lower() if isinstance(written, bool) else repr(written)
    return f", not {text}" if len(text) <= _SHOWN else ""


def _wrong_type(key: str, fault: Any) -> str:
    """A ``type`` that there is not, or none at all."""
    where = f"{key}.type" if key else "type"
    if fault["type"] == "union_tag_not_found":
        return f"missing key `{where}`"
    tag, valid = str(fault["ctx"]["tag"]), [part.strip(" '") for part in fault["ctx"]["expected_tags"].split(",")]
    near = get_close_matches(tag, valid, n=1)
    return f"`{where}`: no {tag!r}" + (f"; did you mean `{near[0]}`?" if near else f"; one of {', '.join(valid)}")


def _nearest(location: tuple[int | str, ...], expected: Any) -> str:
    """A hint with the nearest valid key of the model in which an unknown key stands."""
    fields = _fields_at(location[:-1], expected)
    if not fields:
        return ""
    near = get_close_matches(str(location[-1]), fields, n=1)
    return f"; did you mean `{near[0]}`?" if near else f"; valid keys here: {', '.join(fields)}"


def _fields_at(location: tuple[int | str, ...], expected: Any) -> list[str]:
    """Names of the fields of the model that a validation location leads to; empty where it leads to no model."""
    found: list[Any] = [expected]
    for part in location:
        following: list[Any] = []
        for annotation in found:
            for model in _models_in(annotation):
                if isinstance(part, str) and part in model.model_fields:
                    following.append(model.model_fields[part].annotation)
                elif isinstance(part, str) and _tag_of(model) == part:
                    following.append(model)
            if not _is_model(annotation):
                following.append(annotation)
        found = following or found
    last = [model for annotation in found[:1] for model in _models_in(annotation)]
    if len(last) > 1 and location:
        last = [model for model in last if _tag_of(model) == location[-1]] or last
    return list(dict.fromkeys(field.alias or name for model in last for name, field in model.model_fields.items()))


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """All models that an annotation may hold: through unions, tuples, dicts and Annotated; for the base of a registry all its kinds."""
    if _is_model(annotation):
        return kinds_of(annotation)
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models_in(argument)]


def _tag_of(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("type")
    return field.default if field is not None else None
