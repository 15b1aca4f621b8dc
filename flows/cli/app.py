"""The typer application that every command module hangs its commands on, and the options they share."""

from __future__ import annotations

import os
from typing import Annotated

import typer

app = typer.Typer(
    name="valuedrift",
    help="When, how far and by what a language model's values move during post-training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

ROOT_VARIABLE = "VALUEDRIFT_ROOT"
DEFAULT_ROOT = "valuedrift-data"

RootOption = Annotated[
    str | None,
    typer.Option(
        "--root",
        help=f"Where the tables lie: a folder or s3://bucket/prefix. Default: ${ROOT_VARIABLE}, else ./{DEFAULT_ROOT}.",
        show_default=False,
    ),
]


def resolve_root(root: str | None) -> str:
    """The root of the tables: the option, else the environment variable, else the default folder."""
    return root or os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT
