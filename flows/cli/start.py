"""``valuedrift init`` and ``demo``: a study file to start from, and the packaged study that shows what comes of one."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated

import typer
from rich.markup import escape

from valuedrift.flows.cli.app import ReportOption, RootOption, app, target
from valuedrift.flows.cli.console import make_console

_STUDIES = files("valuedrift") / "data" / "studies"


@app.command("init")
def init(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Study file to write, .yaml, local or s3://; the study is called after it.")
    ] = "study.yaml",
) -> None:
    """Write a study file to start from: it runs as it is, and says line by line what may be changed."""
    from valuedrift.errors import UserError
    from valuedrift.study.spec import check_name

    place = target(file, "FILE", ".yaml", ".yml")
    name = place.name.rpartition(".")[0]
    try:
        check_name(name, "study")
    except ValueError as error:
        raise UserError(str(error), where=file, fix="the study is called after its file; give another file name") from error
    if place.exists():
        raise UserError("the file is there already", where=file, fix="give another name")
    text = (_STUDIES / "first.yaml").read_text(encoding="utf-8")
    place.put_bytes(text.replace("\nstudy: first\n", f"\nstudy: {name}\n").replace(" FILE ", f" {file} ").encode())
    console = make_console()
    for line in (f"written  {file}", f"next     valuedrift plan {file}", f"then     valuedrift run {file}"):
        console.print(escape(line), highlight=False, soft_wrap=True)


@app.command("demo")
def demo(root: RootOption = None, report: ReportOption = None) -> None:
    """Run the packaged study: post-train a real small model six ways, and show how its values moved (about twelve minutes on two CPU cores)."""
    from valuedrift.flows.cli.trace import run

    run(str(_STUDIES / "demo.yaml"), root=root, report=report)
