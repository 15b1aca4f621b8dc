"""``valuedrift judge replies``: what a server was asked and answered, as a table."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from valuedrift.flows.cli.judge import judge_app
from valuedrift.flows.cli.out import parquet_bytes, target

_out = Console()


@judge_app.command("replies")
def replies(
    file: Annotated[str, typer.Argument(metavar="REPLIES", help="A file of replies, local or s3://, e.g. OUT.replies/openai.sqlite.")],
    out: Annotated[str, typer.Option("--out", help="Parquet to write, local or s3://: key, at, outcome, request, reply, tokens, usd.")],
) -> None:
    """Write what a server was asked and answered, attempt by attempt, as Parquet; the file of replies stays as it is."""
    from valuedrift.errors import UserError
    from valuedrift.openai.record import attempts_frame
    from valuedrift.storage.fetching import at_hand

    place = target(out, "--out", ".parquet")
    with at_hand(file) as path:
        if not path.is_file():
            raise UserError("no such file", where=file, fix="judge run tells where replies are kept")
        frame = attempts_frame(path)
    place.put_bytes(parquet_bytes(frame))
    _out.print(f"{frame.height} attempts written to {escape(out)}", highlight=False, soft_wrap=True)
