"""``valuedrift judge``: judge answers of a file, measure a judge against people's labels, train the embedded one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from valuedrift.flows.cli.app import RootOption, app, parquet_bytes, print_json, target
from valuedrift.flows.cli.console import progress_bar
from valuedrift.flows.cli.labelled import StudyOption, TriedOnArgument, labelled
from valuedrift.flows.cli.naming import DEFAULT_JUDGE, JudgeOption, SetOption, WeightsOption, judge_config
from valuedrift.words import counted, interval, plain

judge_app = typer.Typer(name="judge", help="Judge stance, check judges against people, train the embedded judge.", no_args_is_help=True)
app.add_typer(judge_app)

_out = Console(emoji=False)

ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads; default: all cores.", show_default=False)]


@judge_app.command("run")
def run(
    pairs: Annotated[
        str,
        typer.Argument(
            metavar="PAIRS",
            help="Answers with their prompts: CSV, JSONL or Parquet, local or s3://, with prompt and response; id, where there is one, is kept, and what "
            "`analyze` needs: run_id, step, topic, prompt_id, sample_idx, ….",
        ),
    ],
    out: Annotated[
        str, typer.Option("--out", help="Parquet to write, local or s3://: id, p_support, p_neutral, p_oppose, unassigned, status.")
    ],
    judge: JudgeOption = DEFAULT_JUDGE,
    settings: SetOption = None,
    weights: WeightsOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Judge every answer of a file; the output is written whole or not at all."""
    from valuedrift.judges.base import remarks_of
    from valuedrift.judges.frames import judgements_frame, pairs_of, read_answers
    from valuedrift.storage.fetching import at_hand

    place = target(out, "--out", ".parquet")
    config = judge_config(judge, settings, weights)
    with at_hand(pairs) as path:
        answers = read_answers(path)
    read = pairs_of(answers)
    with progress_bar("judging", len(read)) as progress:
        loaded = config.load(threads=threads, keep=None if place.is_remote else Path(out).with_suffix(".replies"))
        judgements = loaded.judge(read, progress)
    frame = judgements_frame(judgements)
    place.put_bytes(parquet_bytes(answers.drop("prompt", "response").hstack(frame)))
    counts = ", ".join(f"{count} {status}" for status, count in frame.get_column("status").value_counts(sort=True).iter_rows())
    _out.print(f"{counted(len(read), 'answer')} judged ({counts or 'none'}), written to {escape(out)}", highlight=False, soft_wrap=True)
    for remark in remarks_of(loaded):
        _out.print(escape(remark), highlight=False, soft_wrap=True)


@judge_app.command("validate")
def validate(
    gold: TriedOnArgument = None,
    study: StudyOption = None,
    judge: JudgeOption = DEFAULT_JUDGE,
    settings: SetOption = None,
    weights: WeightsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    record: Annotated[
        str | None, typer.Option("--record", metavar="NAME", help="Also store the figures under this name beside the judge's weights.")
    ] = None,
    threads: ThreadsOption = None,
    root: RootOption = None,
) -> None:
    """Measure a judge on answers that people have labelled: accuracy, F1, κ, confusion, Brier score and calibration, each with a 95% interval."""
    from valuedrift.errors import UserError
    from valuedrift.judges.network.weights import record_metrics, weights_folder
    from valuedrift.judges.quality.validation import validate as compare
    from valuedrift.judges.trained import TrainedJudge
    from valuedrift.starter import packaged_gold
    from valuedrift.storage.fetching import is_copy

    config = None if study is not None else judge_config(judge, settings, weights)
    if record is not None and not isinstance(config, TrainedJudge):
        raise UserError(
            "only figures of a judge that is trained here have a folder of weights to lie in",
            where="--record",
            fix="use --json and keep its output",
        )
    if record is not None and isinstance(config, TrainedJudge) and config.calibration is not None:
        raise UserError(
            "figures beside the weights are those of the judge without calibration", where="--record", fix="leave calibration out"
        )
    if record is not None and isinstance(config, TrainedJudge) and is_copy(config.weights):
        raise UserError(
            "these weights lie in a bucket, and figures are stored beside weights on this machine",
            where="--record",
            fix="use --json and keep its output",
        )
    rows = labelled(gold, study, judge, settings, weights, threads, root, default=str(packaged_gold()))
    validation = compare(rows.judgements, rows.labels, rows.prompts, row_weights=rows.weights)
    figures = validation.flat(rows.judge, record or rows.data)
    if record is not None and isinstance(config, TrainedJudge):
        record_metrics(weights_folder(config.weights, config.trained), figures)
    notes = [*validation.notes, *rows.notes]
    if as_json:
        print_json({**figures, "notes": notes})
        return
    _show(figures)
    for note in notes:
        _out.print(f"[yellow]note[/] {escape(note)}", highlight=False, soft_wrap=True)


@judge_app.command("train")
def train(
    out: Annotated[str, typer.Option("--out", help="Folder for weights, temperature and held-out figures, local or s3://.")] = "judge",
    judge: Annotated[str, typer.Option("--judge", metavar="TYPE", help="cross-encoder or embedded-lm.")] = DEFAULT_JUDGE,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of initial weights, examples and order.")] = 0,
    threads: ThreadsOption = None,
) -> None:
    """Train a packaged judge again from the packaged text alone (an hour or two on one core), and measure it on questions it has not seen."""
    from valuedrift.judges.network.weights import read_metrics
    from valuedrift.judges.training import trainer
    from valuedrift.storage.fetching import sent

    train_judge = trainer(judge)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    with sent(out) as folder:
        with progress_bar("training", None) as progress:
            train_judge(folder, seed=seed, progress=progress)
        measured = read_metrics(folder)
    for figures in measured:
        _show(figures)
    _out.print(
        f"written to {escape(out)}; use it with: valuedrift judge run --judge {judge} --weights {escape(out)} …",
        highlight=False,
        soft_wrap=True,
    )


@judge_app.command("replies")
def replies(
    file: Annotated[str, typer.Argument(metavar="REPLIES", help="A file of replies, local or s3://, e.g. OUT.replies/openai.sqlite.")],
    out: Annotated[str, typer.Option("--out", help="Parquet to write, local or s3://: key, at, outcome, request, reply, tokens, usd.")],
) -> None:
    """Write what a server was asked and answered, attempt by attempt, as Parquet; the file of replies stays as it is."""
    from valuedrift.errors import UserError
    from valuedrift.servers.record import attempts_frame
    from valuedrift.storage.fetching import at_hand

    place = target(out, "--out", ".parquet")
    with at_hand(file) as path:
        if not path.is_file():
            raise UserError("no such file", where=file, fix="judge run tells where replies are kept")
        frame = attempts_frame(path)
    place.put_bytes(parquet_bytes(frame))
    _out.print(f"{frame.height} attempts written to {escape(out)}", highlight=False, soft_wrap=True)


def _show(figures: dict[str, Any]) -> None:
    """Figures as tables for people."""
    _out.print(
        f"[bold]{escape(figures['name'])}[/] on {escape(figures['data'])}: {counted(figures['n'], 'answer')} "
        f"to {counted(figures['prompts'], 'prompt')}, {figures['judged']} judged"
    )
    table = Table("figure", "value", "95% interval", box=None, header_style="bold")
    for key, label in (
        ("accuracy", "accuracy"),
        ("macro_f1", "macro-F1"),
        ("kappa", "Cohen's κ"),
        ("brier", "Brier score"),
        ("log_loss", "log loss"),
        ("calibration_error", "calibration error"),
    ):
        table.add_row(label, _number(figures[key]), _interval(figures, key))
    _out.print(table)
    classes = Table("stance", "labelled", "precision", "recall", "F1", box=None, header_style="bold")
    for stance, one in figures["per_class"].items():
        told = (f"{plain(one[key])} {interval(one[f'{key}_low'], one[f'{key}_high'])}".strip() for key in ("precision", "recall", "f1"))
        classes.add_row(stance, str(one["n"]), *told)
    _out.print(classes)
    answers = list(next(iter(figures["confusion"].values())))
    confusion = Table("labelled ↓ judged →", *answers, box=None, header_style="bold")
    for label, counts in figures["confusion"].items():
        confusion.add_row(label, *(str(counts[answer]) for answer in answers))
    _out.print(confusion)
    curve = Table("confidence", "answers", "mean confidence", "right", "95% interval", box=None, header_style="bold")
    for one in figures["calibration"]:
        curve.add_row(
            f"{one['low']:.1f}–{one['high']:.1f}",
            str(one["n"]),
            f"{one['confidence']:.3f}",
            _number(one["accuracy"]),
            _interval(one, "accuracy"),
        )
    _out.print(curve)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _interval(figures: dict[str, Any], key: str) -> str:
    """Interval of a figure in words."""
    low, high = figures[f"{key}_low"], figures[f"{key}_high"]
    return "no interval" if low is None or high is None else f"{low:.3f} to {high:.3f}"
