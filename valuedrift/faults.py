"""Faults that pydantic finds in what a user wrote, told with the key, what is wrong, and the nearest valid key."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from valuedrift.registry import kinds_of

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
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"`{key}`: {message}" if key else message


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
    return list(dict.fromkeys(name for model in last for name in model.model_fields))


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
