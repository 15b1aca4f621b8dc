"""``valuedrift judge replies``: what a server was asked and answered, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from flows.cli.judge import judge_app

_out = Console()


@judge_app.command("replies")
def replies(
    file: Annotated[Path, typer.Argument(metavar="REPLIES", help="A file of replies, e.g. OUT.replies/openai.sqlite.")],
    out: Annotated[Path, typer.Option("--out", help="Parquet to write: key, at, outcome, request, reply, tokens, usd.")],
) -> None:
    """Write what a server was asked and answered, attempt by attempt, as Parquet; the file of replies stays as it is."""
    from valuedrift.errors import UserError
    from valuedrift.judges.files import write_whole
    from valuedrift.openai.record import attempts_frame

    if not file.is_file():
        raise UserError("no such file", where=str(file), fix="judge run tells where replies are kept")
    if out.suffix != ".parquet":
        raise UserError(f"the output is Parquet, not {out.suffix or 'a file without extension'}", where=str(out), fix="--out NAME.parquet")
    frame = attempts_frame(file)
    write_whole(frame, out)
    _out.print(f"{frame.height} attempts written to {escape(str(out))}", highlight=False, soft_wrap=True)
