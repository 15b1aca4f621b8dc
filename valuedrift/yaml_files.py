"""YAML that people write: read once, with the line of every value; what YAML 1.1 quietly reads as something else is refused.

``1:30`` would be 90, ``010`` would be 8, ``no`` would be false, and of two equal keys the last would win: all are told with the line and what to write.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from valuedrift.errors import UserError
from valuedrift.faults import describe

_DEEPEST = 64
"""Levels of lists and mappings in each other."""
_MOST = 200_000
"""Values of a file, what aliases repeat counted each time."""
_TAG = "tag:yaml.org,2002:"
_OCTAL = re.compile(r"[-+]?0[0-7_]+")
_Location = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    line: int
    text: str | None
    """As it stands in the file, where it is written without quotes."""


@dataclass(frozen=True)
class Yaml:
    """What YAML text holds, and where each value stands in it."""

    content: Any
    where: str
    """The file, or the option that the text was given by."""
    error: type[UserError]
    places: Mapping[_Location, _Place]

    def at(self, *location: Any) -> str:
        """Where a value stands: the file with the line of the nearest value that is there."""
        return _at(self.where, self.place(location).line)

    def place(self, location: _Location) -> _Place:
        """The place of a value by pydantic's location, in which types of plug-ins may stand between keys."""
        path: _Location = ()
        for part in location:
            path = (*path, part) if (*path, part) in self.places else path
        return self.places[path]

    def valid(self, expected: Any) -> Any:
        """The content as a pydantic model or another annotation.

        Raises:
            UserError: Keys or values that are not valid, with their lines; a yes or no, an infinity or NaN where a number is wanted.
        """
        adapter: TypeAdapter[Any] = TypeAdapter(expected)
        try:
            made = adapter.validate_python(self.content)
        except ValidationError as error:
            raise self.error(describe(error, expected, self._told), where=self.where) from error
        for path, message in untrue_numbers(self.content, made):
            raise self.error(f"`{'.'.join(map(str, path))}`: {message}", where=self.at(*path))
        return made

    def _told(self, fault: Any) -> tuple[str, str]:
        """What stands before and after pydantic's words for a fault: the line; how to write as text what YAML reads as something else."""
        place = self.place(fault["loc"])
        quote = f"; `{place.text}` is no text in YAML: write '{place.text}'" if fault["type"] == "string_type" and place.text else ""
        return f"line {place.line}: ", quote


def untrue_numbers(content: Any, made: Any, path: _Location = ()) -> Iterator[tuple[_Location, str]]:
    """Where pydantic made a number of what is none: of true and false, or an infinity or NaN of text or a number.

    Args:
        content: What was validated.
        made: What was made of it.
        path: Where both stand.
    """
    if isinstance(made, bool):
        return
    if isinstance(made, (int, float)):
        if isinstance(content, bool):
            yield path, f"{str(content).lower()} where a number is wanted; write the number (yes, on and true are the same in YAML)"
        elif isinstance(made, float) and not math.isfinite(made):
            yield path, f"{content} is no finite number; write one"
    elif isinstance(content, Mapping):
        inner = {name: getattr(made, name) for name in type(made).model_fields} if isinstance(made, BaseModel) else made
        if isinstance(inner, Mapping):
            for key, value in content.items():
                yield from untrue_numbers(value, inner.get(key), (*path, key))
    elif isinstance(content, (list, tuple)) and isinstance(made, (list, tuple)):
        for index, (value, one) in enumerate(zip(content, made, strict=False)):
            yield from untrue_numbers(value, one, (*path, index))


def read_yaml(path: Path, where: str | None = None, error: type[UserError] = UserError) -> Yaml:
    """Read a file.

    Args:
        path: The file on this machine.
        where: What to call it in errors; default: its path.
        error: What to raise.

    Raises:
        FileNotFoundError, IsADirectoryError: There is no such file.
        UserError: It cannot be read, is not UTF-8 or not valid YAML, or holds one of the traps of :mod:`valuedrift.yaml_files`.
    """
    where = where or str(path)
    try:
        return parse_yaml(path.read_text(encoding="utf-8-sig"), where, error)
    except UnicodeDecodeError as fault:
        raise error(f"not UTF-8 text (byte {fault.start})", where=where, fix="save the file as UTF-8") from fault
    except (FileNotFoundError, IsADirectoryError):
        raise
    except OSError as fault:
        raise error(f"cannot be read: {fault.strerror or fault}", where=where) from fault


def parse_yaml(text: str, where: str, error: type[UserError] = UserError) -> Yaml:
    """Read text; see :func:`read_yaml`. Text of an option (``where`` begins with ``--``) is told without lines."""
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return Yaml(None, where, error, {(): _Place(1, None)})
        _check_size(node)
        traps: list[_Trap] = []
        places = dict(_places(loader, node, (), traps))
        if len(traps) > 1:
            lines = [f"line {trap.line}: {trap.what}{f' ({trap.fix})' if trap.fix else ''}" for trap in traps]
            raise error("\n  - ".join([f"{len(traps)} faults:", *lines]), where=where)
        if traps:
            raise traps[0]
        return Yaml(loader.construct_document(node), where, error, places)
    except _Trap as trap:
        raise error(trap.what, where=_at(where, trap.line), fix=trap.fix) from None
    except RecursionError:
        raise error(f"lists and mappings nested more than {_DEEPEST} deep", where=where) from None
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        place = _at(where, mark.line + 1) if mark else where
        kind = "a YAML value" if where.startswith("--") else "valid YAML"
        raise error(
            f"not {kind}: {fault.problem or fault.context}", where=place, fix="a text with ?, : or a comma stands in quotes"
        ) from fault
    except yaml.YAMLError as fault:  # a character that YAML does not allow
        raise error(f"not valid YAML: {str(fault).splitlines()[0]}", where=where) from fault
    finally:
        if loader is not None:
            loader.dispose()


class _Loader(yaml.SafeLoader):
    """Stops at what is nested too deeply as soon as it is met: reading on takes a time that grows with the square of the depth."""

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        if self.flow_level >= _DEEPEST:
            raise RecursionError
        super().fetch_flow_collection_start(TokenClass)

    def add_indent(self, column: int) -> bool:
        if len(self.indents) > _DEEPEST:
            raise RecursionError
        return bool(super().add_indent(column))


class _Trap(Exception):
    """What YAML would read as something else than is meant, or not at all."""

    def __init__(self, node: Node, what: str, fix: str | None = None) -> None:
        super().__init__(what)
        self.line, self.what, self.fix = _line(node), what, fix


def _at(where: str, line: int) -> str:
    return where if where.startswith("--") else f"{where}, line {line}"


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _children(node: Node) -> Sequence[Node]:
    if isinstance(node, MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, SequenceNode) else ()


def _check_size(root: Node) -> None:
    """Refuse what holds itself, is nested too deeply, or grows too large by its aliases."""
    sizes: dict[int, int] = {}
    inside: set[int] = set()

    def size(node: Node) -> int:
        if id(node) not in sizes:
            if id(node) in inside:
                raise _Trap(node, "a value that holds itself by an alias", "write it without `*`")
            if len(inside) > _DEEPEST:
                raise _Trap(node, f"lists and mappings nested more than {_DEEPEST} deep")
            inside.add(id(node))
            sizes[id(node)] = 1 + sum(map(size, _children(node)))
            inside.discard(id(node))
        if sizes[id(node)] > _MOST:
            raise _Trap(node, f"more than {_MOST:,} values", "write fewer aliases")
        return sizes[id(node)]

    size(root)


def _places(loader: yaml.SafeLoader, node: Node, path: _Location, traps: list[_Trap]) -> Iterator[tuple[_Location, _Place]]:
    """The place of a node and of all that it holds; keys are checked for doubles, scalars for what they are read as, and ``traps`` gets what is found."""
    yield path, _Place(_line(node), node.value if isinstance(node, ScalarNode) and node.style is None else None)
    if isinstance(node, ScalarNode):
        try:
            _scalar(loader, node)
        except _Trap as trap:
            traps.append(trap)
    elif isinstance(node, MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            try:
                name = _key(loader, key)
                if str(name) in lines:
                    raise _Trap(key, f"key `{key.value}` is there twice: first in line {lines[str(name)]}", "keep one of them")
                lines[str(name)] = _line(key)
            except _Trap as trap:
                traps.append(trap)
                name = str(key.value)
            below = list(_places(loader, value, (*path, name), traps))
            if key.tag != f"{_TAG}merge":  # what is merged is told by the mapping that it is merged into
                yield from below
                yield (*path, name), _Place(_line(key), below[0][1].text)  # told where its key stands
    else:
        for index, one in enumerate(node.value):
            yield from _places(loader, one, (*path, index), traps)


def _key(loader: yaml.SafeLoader, node: Node) -> Any:
    """A key: text or a whole number."""
    if not isinstance(node, ScalarNode):
        raise _Trap(node, "a list or mapping as a key", "a key is a name; put braces in quotes if they are meant")
    if node.tag in (f"{_TAG}str", f"{_TAG}merge"):
        return node.value
    value = _scalar(loader, node)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise _Trap(node, f"key `{node.value}` is read as {_words(value)}, not as a name", f"quote it: '{node.value}'")
    return value


def _scalar(loader: yaml.SafeLoader, node: ScalarNode) -> Any:
    """The value of a scalar.

    Raises:
        _Trap: It is a number to the base of 60 or 8, or cannot be made at all.
    """
    try:
        value = loader.construct_object(node)
    except (ValueError, OverflowError, KeyError, AttributeError) as fault:
        raise _Trap(node, f"`{node.value[:40]}` is no {node.tag.removeprefix(_TAG)}", "quote it, if it is text") from fault
    if node.style is None and isinstance(value, (int, float)) and not isinstance(value, bool):
        if ":" in node.value:
            raise _Trap(node, f"`{node.value}` is {value} in YAML: minutes and hours", f"write {value}, or as text '{node.value}'")
        if isinstance(value, int) and _OCTAL.fullmatch(node.value):
            plain = node.value.replace("_", "").lstrip("+-0") or "0"
            sign = "-" if node.value.startswith("-") else ""
            raise _Trap(
                node,
                f"`{node.value}` is {value} in YAML: a zero in front counts in eights",
                f"as text '{node.value}'; as a number, write {sign}{plain}",
            )
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise _Trap(node, f"`{node.value[:40]}` is too large a number", "at most 2^63 - 1")
    return value


def _words(value: Any) -> str:
    if value is None:
        return "nothing (null)"
    return str(value).lower() if isinstance(value, bool) else f"a {type(value).__name__}"
