"""``valuedrift judge fit-panel``: weights and temperatures of a panel's members from people's labels."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from valuedrift.flows.cli.console import make_console
from valuedrift.flows.cli.judge import ThreadsOption, judge_app
from valuedrift.flows.cli.judge_option import JudgeOption, SetOption, named_judge
from valuedrift.flows.cli.out import target
from valuedrift.flows.cli.progress_bar import progress_bar


@judge_app.command("fit-panel")
def fit_panel(
    gold: Annotated[
        str, typer.Argument(metavar="GOLD", help="CSV, JSONL or Parquet, local or s3://, with prompt, response and stance by people.")
    ],
    judge: JudgeOption,
    out: Annotated[
        str, typer.Option("--out", help="The panel with its fitted numbers, as a .yaml file, local or s3://, for --judge and for studies.")
    ],
    settings: SetOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Fit a panel on labelled answers: a temperature a member, so that its probabilities mean what they say, and the weights of the mean.

    Measure the result on other labels than these: valuedrift judge validate --judge OUT.
    """
    import yaml

    from valuedrift.errors import UserError
    from valuedrift.judges.base import Pair
    from valuedrift.judges.files import read_table
    from valuedrift.judges.panel import Panel, judge_by_each
    from valuedrift.judges.quality.panel_fit import fit_panel as fit
    from valuedrift.storage.fetching import at_hand
    from valuedrift.tasks.sources import brought

    config = named_judge(judge, settings)
    if not isinstance(config, Panel):
        raise UserError(f"a {config.type} is no panel", where="--judge", fix="a .yaml file with type: panel and its members")
    place = target(out, "--out", ".yaml", ".yml")
    with at_hand(gold) as path:
        frame = read_table(path, ("prompt", "response", "stance"))
    texts = frame.select("prompt", "response").iter_rows()
    pairs = [Pair(id=str(row), prompt=prompt, response=response) for row, (prompt, response) in enumerate(texts)]
    labels = [label.strip().lower() for label in frame.get_column("stance")]
    with progress_bar("judging", len(pairs) * len(config.members)) as progress:
        frames = judge_by_each(config.with_paths(brought), pairs, progress, threads=threads)
    found = fit(config.names, frames, labels)
    fitted = config.model_copy(update={"how": "calibrated", "weights": dict(found.weights), "temperatures": dict(found.temperatures)})
    text = yaml.safe_dump(fitted.model_dump(mode="json", exclude_unset=True), sort_keys=False, allow_unicode=True)
    place.put_bytes(text.encode())
    console = make_console()
    for name in config.names:
        console.print(f"{escape(name)}: weight {found.weights[name]:.3f}, temperature {found.temperatures[name]:.3f}", highlight=False)
    console.print(
        f"fitted on {found.n} answers (log loss {found.before:.3f} → {found.after:.3f} on these same), written to {escape(out)}",
        highlight=False,
        soft_wrap=True,
    )
