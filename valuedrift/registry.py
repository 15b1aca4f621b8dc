"""Registries of plug-ins: kinds of one thing (judges, engines), each one file with its configuration, known by the value of its key ``type``.

A kind of the package is entered by one line in its registry. A kind of one's own is entered by :meth:`Registry.register`, or, so that supervised child
processes know it too, by an entry point of an installed package in the group of the registry (``[project.entry-points."valuedrift.judges"]``,
``mine = "my_package.judge:Mine"``).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Annotated, Any, Generic, TypeVar, cast

from pydantic import BaseModel, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, PydanticKnownError, core_schema

from valuedrift.errors import UserError

Kind = TypeVar("Kind", bound=BaseModel)


class Registry(Generic[Kind]):
    """Kinds of one thing by their ``type``; a kind's module is imported when it is first asked for.

    Args:
        what: What they are, in a word, for errors: judge, engine.
        base: Class that all kinds are made from.
        kinds: Kinds of the package: ``module:Class`` by type.
        group: Group of entry points in which other packages enter theirs.
        columns: What the docs tell of each kind beside its first line: attributes of its class.
    """

    def __init__(self, what: str, base: Any, kinds: Mapping[str, str], group: str, columns: tuple[str, ...] = ("when",)) -> None:
        self.what = what
        self.columns = columns
        self._base = base
        self._paths = dict(kinds)
        self._group = group
        self._known: dict[str, type[Kind]] = {}
        _REGISTRIES.append(self)

    def register(self, kind: type[Kind]) -> type[Kind]:
        """Enter a kind of one's own for this process; also as a decorator of its class.

        Raises:
            UserError: It is not made from the registry's base, has no ``type`` of its own, or another kind has that type.
        """
        name = _type_of(kind)
        if not issubclass(kind, self._base) or name is None:
            raise UserError(
                f"{kind.__name__} is no kind of {self.what}",
                fix=f'derive it from {self._base.__name__} and give it a `type: Literal["…"] = "…"`',
            )
        if self._known.get(name, kind) is not kind or name in self._all_paths:
            raise UserError(f"two kinds of {self.what} are called {name!r}", where=f"{kind.__module__}.{kind.__name__}")
        self._known[name] = kind
        return kind

    def types(self, of: type[Any] | None = None) -> tuple[str, ...]:
        """The values that ``type`` may have.

        Args:
            of: Only kinds that are made from this class.
        """
        names = tuple(dict.fromkeys([*self._all_paths, *self._known]))
        return names if of is None else tuple(name for name in names if issubclass(self._load(name), of))

    def kind(self, name: str) -> type[Kind]:
        """The kind of a type.

        Raises:
            UserError: There is none, or its module cannot be imported.
        """
        if name not in self.types():
            from difflib import get_close_matches

            near = get_close_matches(name, self.types(), n=1)
            raise UserError(f"no {self.what} {name!r}", fix=f"nearest: {near[0]}" if near else f"one of {', '.join(self.types())}")
        return self._load(name)

    def by_type(self, of: type[Any] | None = None) -> _ByType:
        """For ``Annotated[Base, REGISTRY.by_type()]``: pydantic then makes what the key ``type`` says, as it does for a union of all kinds.

        Args:
            of: Only kinds that are made from this class are valid.
        """
        return _ByType(self, of or self._base)

    @property
    def annotation(self) -> Any:
        """What pydantic validates one of them by."""
        return Annotated[self._base, self.by_type()]

    def made_from(self, base: type[Any]) -> list[type[Kind]]:
        """All kinds that are made from a class; none where the class is not this registry's base or made from it."""
        return [self._load(name) for name in self.types(base)] if issubclass(base, self._base) else []

    def packaged(self) -> list[tuple[str, type[Kind]]]:
        """The kinds of the package by type, without those of others: what the docs tell."""
        return [(name, self._load(name)) for name in self._paths]

    @cached_property
    def _all_paths(self) -> dict[str, str]:
        return {**{entry.name: entry.value for entry in entry_points(group=self._group)}, **self._paths}

    def _load(self, name: str) -> type[Kind]:
        if name not in self._known:
            module, _, attribute = self._all_paths[name].partition(":")
            try:
                found = getattr(import_module(module), attribute)
            except (ImportError, AttributeError) as error:
                raise UserError(f"the {self.what} {name!r} cannot be imported: {error}", where=f"{module}:{attribute}") from error
            if _type_of(found) != name or not issubclass(found, self._base):
                raise UserError(f"{attribute} is no {self.what} of type {name!r}", where=module, fix=f"its type is {_type_of(found)!r}")
            self._known[name] = found
        return self._known[name]


_REGISTRIES: list[Registry[Any]] = []


class _ByType:
    """Validates a mapping as the kind that its ``type`` names, and writes each kind with all its own keys."""

    def __init__(self, registry: Registry[Any], of: type[Any]) -> None:
        self._registry, self._of = registry, of

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        whole = core_schema.wrap_serializer_function_ser_schema(lambda value, write: write(value), schema=core_schema.any_schema())
        return core_schema.no_info_plain_validator_function(self._validate, serialization=whole)

    def _validate(self, value: Any) -> Any:
        if isinstance(value, self._of):
            return value
        if not isinstance(value, Mapping):
            raise PydanticKnownError("model_attributes_type")
        if "type" not in value:
            raise PydanticKnownError("union_tag_not_found", {"discriminator": "'type'"})
        name, valid = str(value["type"]), self._registry.types(self._of)
        if name not in valid:
            tags = ", ".join(f"'{tag}'" for tag in valid)
            raise PydanticKnownError("union_tag_invalid", {"discriminator": "'type'", "tag": name, "expected_tags": tags})
        kind = self._registry.kind(name)
        try:
            return kind.model_validate(dict(value))
        except ValidationError as error:
            raise ValidationError.from_exception_data(error.title, [_below(name, fault) for fault in error.errors()]) from error


def _below(name: str, fault: Any) -> InitErrorDetails:
    """A fault of a kind with the kind's type in its place, as pydantic's unions have it."""
    context = fault.get("ctx", {})
    try:
        what: Any = fault["type"]
        PydanticKnownError(what, context or None)
    except (KeyError, TypeError):  # a kind of error that only the plug-in knows
        what = PydanticCustomError(fault["type"], fault["msg"].replace("{", "{{").replace("}", "}}"))
    return cast(InitErrorDetails, {"type": what, "loc": (name, *fault["loc"]), "input": fault["input"], "ctx": context})


def kinds_of(base: type[Any]) -> list[type[BaseModel]]:
    """All registered kinds that an abstract class stands for in an annotation; the class itself where it is no base of a registry."""
    if not inspect.isabstract(base):
        return [base]
    return [kind for registry in _REGISTRIES for kind in registry.made_from(base)] or [base]


def _type_of(kind: Any) -> str | None:
    field = getattr(kind, "model_fields", {}).get("type")
    return field.default if field is not None and isinstance(field.default, str) else None
