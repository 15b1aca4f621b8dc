"""``valuedrift judge distil``: a small judge of one's own, taught by a strong one on one's own answers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from valuedrift.flows.cli.app import JsonOption, RootOption, print_json, resolve_root
from valuedrift.flows.cli.console import make_console, progress_bar
from valuedrift.flows.cli.judge import ThreadsOption, judge_app
from valuedrift.flows.cli.naming import judge_config
from valuedrift.judges.registry import JUDGES
from valuedrift.words import counted, interval, plain

if TYPE_CHECKING:
    import polars as pl

    from valuedrift.judges.training.card import Measured
    from valuedrift.tasks.distilling import Teacher

_EPOCHS = 4
_ANSWER_TOKENS = 256
"""Of the answers whose price is told."""


@judge_app.command("distil")
def distil(
    teacher: Annotated[
        str,
        typer.Option(
            "--teacher",
            metavar="NAME|TYPE|FILE",
            help=f"Who teaches: a judge of the study by its name, a type of judge ({', '.join(JUDGES.types())}), or a .yaml file, local or s3://, with one.",
        ),
    ],
    answers: Annotated[
        str,
        typer.Option(
            "--answers",
            metavar="STUDY|FILE",
            help="Your answers: a study (its file, or the name it has under the root), or CSV, JSONL or Parquet, local or s3://, with prompt and response; "
            "pair_id, where there is one, tells opposite wordings of a question.",
        ),
    ],
    out: Annotated[str, typer.Option("--out", help="Folder for the judge with its figures and data card, local or s3://.")],
    body: Annotated[
        str,
        typer.Option(
            "--body",
            help="What learns: any encoder in Hugging Face layout, as embedded:minilm, hf:ORG/NAME or a folder (BERT, RoBERTa, DeBERTa, ModernBERT, …).",
        ),
    ] = "embedded:minilm",
    teacher_set: Annotated[
        list[str] | None,
        typer.Option(
            "--teacher-set",
            metavar="KEY=VALUE",
            help="Set a key of the teacher, e.g. model=gpt-4o; may be repeated. Values by the rules of YAML.",
            show_default=False,
        ),
    ] = None,
    n: Annotated[
        int, typer.Option("-n", "--n", min=1, help="Answers at most, learnt from and held out together, drawn evenly over the questions.")
    ] = 2000,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over the answers.")] = _EPOCHS,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draw, of initial weights and of the order.")] = 0,
    as_json: JsonOption = False,
    threads: ThreadsOption = None,
    root: RootOption = None,
) -> None:
    """Teach a small judge by what a strong one says of your own answers, and measure how far they agree on questions that it has not seen.

    What the teacher said is kept, and a study's own judgements by it are taken: nothing is asked twice. For example, the strong judge of a cascade makes the
    cascade a better cheap one: valuedrift judge distil --teacher deep --answers study.yaml --out floor; then `{type: cross-encoder, weights: floor}`.
    """
    from dataclasses import asdict, replace

    from valuedrift.errors import UserError
    from valuedrift.fingerprint import fingerprint
    from valuedrift.judges.cross_encoder import CrossEncoder
    from valuedrift.judges.network.weights import LATEST
    from valuedrift.judges.registry import judge_identity
    from valuedrift.judges.training.card import Origin, measure_student, write_card
    from valuedrift.judges.training.distil import Student
    from valuedrift.judges.training.distil import distil as train
    from valuedrift.judges.training.lessons import Lesson, Lessons, check_questions
    from valuedrift.judges.training.train import written_whole
    from valuedrift.storage.fetching import sent
    from valuedrift.tasks.distilling import drawn, judged_by, probabilities_of
    from valuedrift.tasks.sources import brought

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    keep = _keep(out)
    who, found, told = _taught(teacher, teacher_set, answers, root)
    chosen = drawn(found, n, seed)
    check_questions(chosen["question"].n_unique(), told)
    student = Student(brought(body))
    if student.from_shipped and who.identity == fingerprint(judge_identity(CrossEncoder(weights=LATEST))):
        raise UserError("the shipped judge would learn from itself", where="--teacher", fix="a stronger judge, or another --body")
    _announce(who, chosen, keep)
    with progress_bar("the teacher judges", None) as progress:
        judged, remarks = judged_by(who, chosen, keep, threads=threads, progress=progress)
    for remark in remarks:
        typer.echo(remark, err=True)
    left_out = {status: count for status, count in sorted(Counter(judged["status"]).items()) if status != "ok"}
    lessons = Lessons.of([Lesson(*row) for row in probabilities_of(judged)], told, left_out)
    rates = replace(student.rates, epochs=epochs)
    origin = Origin(
        who.title,
        who.identity,
        told,
        left_out,
        student.from_shipped,
        asdict(rates),
    )
    with sent(out) as folder, written_whole(folder) as part:
        with progress_bar("training", None) as progress:
            train(part, student, lessons, rates=rates, seed=seed, progress=progress)
        measured = measure_student(part, lessons, from_shipped=student.from_shipped)
        write_card(part, folder.name, origin, lessons, measured)
    if as_json:
        counts = {"seen": len(lessons.seen), "held_out": len(lessons.held_out), "left_out": origin.left_out}
        print_json({"teacher": who.name, **counts, **measured.flat(), "out": out})
        return
    _show(measured, out)


def _keep(out: str) -> Path:
    """Where the teacher's judgements are kept: beside the folder, or in the user's cache where that lies in a store.

    Raises:
        UserError: There is something else at ``out`` than an older judge.
    """
    from valuedrift.cache import cache_folder
    from valuedrift.errors import UserError
    from valuedrift.fingerprint import fingerprint
    from valuedrift.judges.network.weights import DESCRIPTION_FILE
    from valuedrift.storage.location import Location

    place = Location.parse(out)
    if place.is_remote:
        place.reached()
        return cache_folder() / "taught" / fingerprint(place.uri)
    folder = Path(place.path)
    if folder.exists() and not (folder / DESCRIPTION_FILE).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            "there is something else than a judge",
            where=f"--out {out}",
            fix="give a new folder, or that of an older judge, which is replaced",
        )
    if not folder.absolute().parent.is_dir():
        raise UserError("no such folder", where=str(folder.absolute().parent), fix="make it, or give another --out")
    return folder.with_name(f"{folder.name}.teacher")


def _taught(teacher: str, settings: list[str] | None, answers: str, root: str | None) -> tuple[Teacher, pl.DataFrame, str]:
    """The teacher, the answers with what is known of its judgements, and what to call them.

    Raises:
        UserError: There is no such teacher, study or file, or the file lacks a column.
    """
    from valuedrift.errors import UserError
    from valuedrift.storage.store import Store
    from valuedrift.tabular import KINDS
    from valuedrift.tasks.distilling import Teacher, answers_of_file, answers_of_study, named_in_study
    from valuedrift.tasks.labels import study_name
    from valuedrift.tasks.sources import brought, study_of

    of_study = answers.lower().endswith((".yaml", ".yml"))
    if not of_study and (Path(answers).is_file() or "/" in answers or Path(answers.lower().removesuffix(".gz")).suffix in KINDS):
        found, told = answers_of_file(answers), Path(answers).name
        who = Teacher.of(judge_config(teacher, settings, option="--teacher"))
    else:
        store = Store(resolve_root(root))
        name = study_name(store, answers)
        judges = study_of(answers).judges if of_study else ()
        named = None if settings else named_in_study(store, name, teacher, [judge.with_paths(brought) for judge in judges])
        who = named or Teacher.of(judge_config(teacher, settings, option="--teacher"))
        found, told = answers_of_study(store, name, who), f"study {name}"
    if who.config is None:
        found = found.drop_nulls("status")
    if not found.height:
        raise UserError("no answers" if who.config is not None else f"{who.name} has judged none of the free answers", where=told)
    return who, found, told


def _announce(teacher: Teacher, chosen: pl.DataFrame, keep: Path) -> None:
    """Say what will be asked, before it is."""
    from valuedrift.tasks.distilling import to_ask

    asked = to_ask(teacher, chosen, keep)
    words = f"{counted(chosen.height, 'answer')} to {counted(chosen['question'].n_unique(), 'question')}; {teacher.name} reads {asked.height:,} of them"
    words += f", {chosen.height - asked.height:,} it has read before" if asked.height < chosen.height else ""
    cost = teacher.config.asking_cost(asked["prompt"].to_list(), 1, _ANSWER_TOKENS) if teacher.config is not None and asked.height else None
    typer.echo(words + (f" ({cost.words()})" if cost is not None else ""), err=True)


def _show(measured: Measured, out: str) -> None:
    """For people."""
    from valuedrift.judges.network.weights import LATEST

    console = make_console()
    table = Table("on held-out questions", "same verdict", "κ", "distance", box=None, header_style="bold")
    for name, figures in (("this judge", measured.agreement), (LATEST, measured.before)):
        if figures is not None:
            table.add_row(name, *(_figure(figures, key) for key in ("accuracy", "kappa")), plain(figures["distance"], 3))
    table.add_row("most frequent verdict", f"{measured.most_frequent:.3f}", "0", "")
    console.print(table)
    gold = measured.gold
    console.print(
        f"the verdict is the teacher's, not people's; on the packaged gold set (labels by its authors) accuracy is {_figure(gold, 'accuracy')}\n"
        f"written to {escape(out)}, with a data card (README.md); use it as {{type: cross-encoder, weights: {escape(out)}}}",
        highlight=False,
        soft_wrap=True,
    )


def _figure(figures: dict[str, Any], key: str) -> str:
    value, low, high = (figures[f"{key}{end}"] for end in ("", "_low", "_high"))
    return f"{plain(value, 3)} {interval(low, high, 3)}".rstrip()
