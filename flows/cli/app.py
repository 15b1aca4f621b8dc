"""The typer application that every command module hangs its commands on, and what the commands share: options, files they write, old names."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
import typer.core

from valuedrift.references import DEFAULT_ROOT, ROOT_VARIABLE, root_of

if TYPE_CHECKING:
    import polars as pl

    from valuedrift.storage.location import Location

_FORMATS = {".parquet": "Parquet", ".csv": "CSV", ".jsonl": "JSON lines", ".yaml": "YAML", ".yml": "YAML", ".html": "HTML"}


class _InOurWords(typer.core.TyperGroup):
    """Tells what is wrong with an option's value as a fault of a study file is told; typer passes on pydantic's words."""

    def invoke(self, ctx: Any) -> Any:
        """See typer."""
        from pydantic import ValidationError

        from valuedrift.faults import what_is_wrong

        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            if isinstance(error.__cause__, ValidationError):
                error.message = what_is_wrong(error.__cause__.errors(include_url=False)[0])
            raise


app = typer.Typer(
    cls=_InOurWords,
    name="valuedrift",
    help="When, how far and by what a language model's values move during post-training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

RootOption = Annotated[
    str | None,
    typer.Option(
        "--root",
        help=f"Where the tables lie: a folder or s3://bucket/prefix. Default: ${ROOT_VARIABLE}, else ./{DEFAULT_ROOT}.",
        show_default=False,
    ),
]
ReportOption = Annotated[
    str | None,
    typer.Option(
        "--report",
        help="Folder for report.html and figures/, local or s3://; default: reports/STUDY below the root.",
        show_default=False,
    ),
]


def _version(asked: bool) -> None:
    if asked:
        from valuedrift import __version__

        typer.echo(f"valuedrift {__version__}")
        raise typer.Exit


@app.callback()
def valuedrift(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """When, how far and by what a language model's values move during post-training."""


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def resolve_root(root: str | None) -> str:
    """The root of the tables: the option, else the environment variable, else the default folder."""
    return root_of(root)


def target(address: str, option: str, *endings: str) -> Location:
    """Where a command is to write, looked at before it begins its work.

    Args:
        address: A path or s3://bucket/key.
        option: The option that it was given by.
        endings: What its name must end in, one of them; anything where none is given.

    Raises:
        UserError: The name asks for another format, the local folder is not there, or the bucket is not or cannot be reached.
    """
    from valuedrift.errors import UserError
    from valuedrift.storage.location import Location

    place = Location.parse(address)
    if endings and not (place.name.lower().endswith(endings) and place.name.lower() not in endings):
        raise UserError(
            f"this is written as {_FORMATS[endings[0]]}", where=f"{option} {address}", fix=f"end the name in {' or '.join(endings)}"
        )
    if address.endswith("/") or not place.path:
        raise UserError("a folder where a file is needed", where=f"{option} {address}", fix="give a file name")
    if not place.is_remote and not Path(place.path).parent.is_dir():
        raise UserError("no such folder", where=str(Path(place.path).parent), fix=f"make it, or give another {option}")
    return place.reached()


def print_json(value: Any) -> None:
    """Print a value as one line of JSON; what JSON has no number for (NaN, infinity) is null."""
    import json

    from valuedrift.flows.cli.query_output import plain

    typer.echo(json.dumps(plain(value), ensure_ascii=False, allow_nan=False))


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    """A frame as a Parquet file."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


Command = TypeVar("Command", bound=Callable[..., Any])


def formerly(group: typer.Typer, old: str, new: str) -> Callable[[Command], Command]:
    """Let a command be called by the name that it had in the version before, with a hint to the new one.

    Args:
        group: What the old name hung on.
        old: The old name.
        new: What to type now, e.g. ``labels draw``.
    """

    def register(command: Command) -> Command:
        @functools.wraps(command)
        def hinted(*args: Any, **kwargs: Any) -> Any:
            _hint(f"`valuedrift {group.info.name} {old}` is now `valuedrift {new}`")
            return command(*args, **kwargs)

        group.command(old, hidden=True)(hinted)
        return command

    return register


def renamed(value: str | None, old_value: str | None, new: str, old: str) -> str | None:
    """The value of an option that had another name in the version before; a hint where it was given by the old name.

    Args:
        value: Given by the new name.
        old_value: Given by the old one; the new one wins.
        new: The new name, e.g. ``--report``.
        old: The old one.
    """
    if old_value is None:
        return value
    _hint(f"`{old}` is now `{new}`")
    return old_value if value is None else value


def _hint(what: str) -> None:
    typer.echo(f"note: {what}; the old name goes with the next version", err=True)
