"""``valuedrift judge calibrate`` and ``fit-panel``: what is fitted on people's labels, and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from valuedrift.flows.cli.app import RootOption, print_json, target
from valuedrift.flows.cli.console import make_console, progress_bar
from valuedrift.flows.cli.judge import ThreadsOption, judge_app
from valuedrift.flows.cli.labelled import GoldArgument, StudyOption, labelled
from valuedrift.flows.cli.naming import DEFAULT_JUDGE, JudgeOption, SetOption, WeightsOption, judge_config, named_judge
from valuedrift.words import counted

if TYPE_CHECKING:
    from valuedrift.judges.quality.calibrate import Calibrating


@judge_app.command("calibrate")
def calibrate(
    gold: GoldArgument = None,
    study: StudyOption = None,
    judge: JudgeOption = DEFAULT_JUDGE,
    settings: SetOption = None,
    weights: WeightsOption = None,
    out: Annotated[
        str, typer.Option("--out", help="File to write, local or s3://, for the judge's key `calibration` in a study.")
    ] = "calibration.json",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    threads: ThreadsOption = None,
    root: RootOption = None,
) -> None:
    """Fit a temperature and biases on answers that people have labelled, show what they change on answers they were not fitted on, and write them."""
    from valuedrift.errors import UserError
    from valuedrift.fingerprint import fingerprint
    from valuedrift.flows.cli.app import resolve_root
    from valuedrift.judges.calibrated import ReadingJudge
    from valuedrift.judges.quality.calibrate import calibrate as fit
    from valuedrift.storage.store import Store
    from valuedrift.tasks.labels import judge_fingerprint, study_name

    place = target(out, "--out")
    if study is None:
        config = judge_config(judge, settings, weights)
        if not isinstance(config, ReadingJudge):
            raise UserError(f"a {config.type} has no calibration of its own", where="--judge", fix="calibrate its members one by one")
        if config.calibration is not None:
            raise UserError(
                "this judge is calibrated already",
                where="calibration",
                fix="leave the key out",
            )
    rows = labelled(gold, study, judge, settings, weights, threads, root)
    if study is None:
        assert isinstance(rows.config, ReadingJudge)
        key = fingerprint(rows.config.own_identity())
    else:
        store = Store(resolve_root(root))
        key = judge_fingerprint(store, study_name(store, study), rows.judge)
    calibrated = fit(
        rows.judgements, rows.labels, rows.prompts, judge=rows.judge, judge_fingerprint=key, row_weights=rows.weights, texts=rows.texts
    )
    place.put_bytes((calibrated.calibration.model_dump_json(indent=1) + "\n").encode())
    if as_json:
        print_json(calibrated.flat(rows.data) | {"out": out})
        return
    _show(calibrated, rows.data, out)


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
    from valuedrift.judges.panel import Panel, judge_by_each
    from valuedrift.judges.quality.panel_fit import fit_panel as fit
    from valuedrift.storage.fetching import at_hand
    from valuedrift.tabular import read_frame
    from valuedrift.tasks.sources import brought

    config = named_judge(judge, settings)
    if not isinstance(config, Panel):
        raise UserError(f"a {config.type} is no panel", where="--judge", fix="a .yaml file with type: panel and its members")
    place = target(out, "--out", ".yaml", ".yml")
    with at_hand(gold) as path:
        frame = read_frame(path, ("prompt", "response", "stance"))
    texts = frame.select("prompt", "response").iter_rows()
    pairs = [Pair(id=str(row), prompt=prompt, response=response) for row, (prompt, response) in enumerate(texts)]
    labels = [label.strip().lower() for label in frame.get_column("stance")]
    with progress_bar("judging", len(pairs) * len(config.members)) as progress:
        frames = judge_by_each(config.with_paths(brought), pairs, progress, threads=threads)
    fitted_panel = fit(config.names, frames, labels, [pair.prompt for pair in pairs])
    fitted = config.model_copy(
        update={"how": "calibrated", "weights": dict(fitted_panel.weights), "temperatures": dict(fitted_panel.temperatures)}
    )
    text = yaml.safe_dump(fitted.model_dump(mode="json", exclude_unset=True), sort_keys=False, allow_unicode=True)
    place.put_bytes(text.encode())
    console = make_console()
    for name in config.names:
        console.print(
            f"{escape(name)}: weight {fitted_panel.weights[name]:.3f}, temperature {fitted_panel.temperatures[name]:.3f}", highlight=False
        )
    console.print(
        f"fitted on {counted(fitted_panel.n, 'answer')} (log loss {fitted_panel.before:.3f} → "
        f"{_out_of_sample(fitted_panel.held_out)}{fitted_panel.after:.3f} on these same), "
        f"written to {escape(out)}",
        highlight=False,
        soft_wrap=True,
    )


def _out_of_sample(loss: float | None) -> str:
    """What a fit is worth on prompts that it did not see, which is what counts."""
    return "" if loss is None else f"{loss:.3f} on prompts that the fit did not see; "


def _show(calibrating: Calibrating, data: str, out: str) -> None:
    console = make_console()
    one, flat = calibrating.calibration, calibrating.flat(data)
    console.print(
        f"[bold]{escape(one.judge)}[/] on {escape(data)}: {counted(flat['n'], 'answer')} to {counted(flat['prompts'], 'prompt')}"
        + (f", {calibrating.left_out} left out (refused or not judged)" if calibrating.left_out else ""),
        highlight=False,
    )
    title = f"out of sample, {calibrating.folds} folds of whole prompts"
    table = Table(
        "figure",
        "before",
        "after",
        "change",
        box=None,
        header_style="bold",
        title=title,
        title_justify="left",
    )
    for key, label in (
        ("brier", "Brier score"),
        ("log_loss", "log loss"),
        ("calibration_error", "calibration error"),
        ("accuracy", "accuracy"),
    ):
        change = flat.get(f"{key}_change")
        table.add_row(label, _spread(flat[key]["before"]), _spread(flat[key]["after"]), _spread(change, "+") if change else "")
    console.print(table)
    biases = ", ".join(f"{name} {value:+.2f}" for name, value in zip(("support", "neutral", "oppose"), one.bias, strict=True))
    console.print(f"temperature {one.temperature:.2f}; biases {biases} (written to {escape(out)})", highlight=False, soft_wrap=True)
    for note in calibrating.notes:
        console.print(f"[yellow]note[/] {escape(note)}", highlight=False, soft_wrap=True)


def _spread(values: Sequence[float | None], sign: str = "") -> str:
    value, *ends = values
    low, high = ends
    if value is None or low is None or high is None:
        return "–" if value is None else f"{value:{sign}.3f} (no interval)"
    return f"{value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"
