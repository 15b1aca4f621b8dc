"""``valuedrift judge compare``: several judges on the same labelled answers, in the terminal, as JSON and as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from valuedrift.flows.cli.app import JsonOption, RootOption, print_json, resolve_root, target
from valuedrift.flows.cli.console import make_console
from valuedrift.flows.cli.judge import ThreadsOption, judge_app
from valuedrift.flows.cli.labelled import Labelled, StudyOption, TriedOnArgument, from_file, from_study
from valuedrift.flows.cli.naming import judge_config
from valuedrift.judges.registry import JUDGES
from valuedrift.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valuedrift.judges.registry import JudgeConfig
    from valuedrift.report.judges_page import JudgesPage

_PRICED = 50
"""Prompts whose price is averaged."""
_ANSWER_TOKENS = 256
"""Of the answers that are priced."""


@judge_app.command("compare")
def compare(
    gold: TriedOnArgument = None,
    judges: Annotated[
        list[str] | None,
        typer.Option(
            "--judge",
            metavar="TYPE|FILE",
            help=f"A type of judge ({', '.join(JUDGES.types())}), or a .yaml file, local or s3://, with one; two or more. "
            "With --study: names of its judges, all by default.",
            show_default=False,
        ),
    ] = None,
    study: StudyOption = None,
    page: Annotated[str | None, typer.Option("--report", help="HTML page to write as well, local or s3://.", show_default=False)] = None,
    as_json: JsonOption = False,
    threads: ThreadsOption = None,
    root: RootOption = None,
) -> None:
    """Which judge is better: accuracy, macro-F1, κ, calibration, by class, speed and price; differences with intervals, and McNemar's test."""
    from valuedrift.errors import UserError
    from valuedrift.judges.quality.comparison import compare_judges
    from valuedrift.report.judges_page import JudgesPage, build_judges_page

    place = target(page, "--report", ".html") if page is not None else None
    if gold is not None and study is not None:
        raise UserError("labels come from a file or from a study", fix="give GOLD or --study STUDY")
    rows = _of_study(study, judges or (), root) if study is not None else _of_file(gold, judges or (), threads)
    first = rows[0]
    compared = compare_judges({one.judge: one.judgements for one in rows}, first.labels, first.prompts, row_weights=first.weights)
    speeds = {one.judge: len(one.labels) / one.seconds for one in rows if one.seconds}
    prices = {one.judge: price for one in rows if one.config is not None and (price := _price(one.config, first.prompts)) is not None}
    told = JudgesPage(first.data, compared, speeds, prices, tuple(dict.fromkeys(note for one in rows for note in one.notes)))
    if place is not None:
        place.put_bytes(build_judges_page(told).encode())
    if as_json:
        print_json(told.flat())
    else:
        _show(told)
        if page is not None:
            make_console().print(f"written to {escape(page)}", highlight=False, soft_wrap=True)


def _of_file(gold: str | None, judges: Sequence[str], threads: int | None) -> list[Labelled]:
    """Every judge on the rows of a file, or of the packaged gold set.

    Raises:
        UserError: Fewer than two judges, or two of one name; see `judge_config` and `from_file`.
    """
    from valuedrift.errors import UserError
    from valuedrift.starter import packaged_gold

    if len(judges) < 2:
        raise UserError("one judge has nothing to be compared with", where="--judge", fix="name two or more; `judge validate` measures one")
    configs = [judge_config(judge) for judge in judges]
    names = [config.name for config in configs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"two judges are called {twice[0]!r}", where="--judge", fix="a file for each, with a `name` of its own")
    for config in configs:
        config.check()  # before the first of them reads anything
    return [from_file(gold or str(packaged_gold()), config, threads) for config in configs]


def _of_study(study: str, judges: Sequence[str], root: str | None) -> list[Labelled]:
    """Every judge of a study, or those that are named, on the answers that people labelled and all of them have judged.

    Raises:
        UserError: No such study or judge, or nothing is labelled.
    """
    from valuedrift.storage.store import Store
    from valuedrift.tasks.labels import study_name

    store = Store(resolve_root(root))
    known = dict.fromkeys(entry.slot for entry in store.entries("stances", study_name(store, study)))
    found = [from_study(study, name, root) for name in judges or known]
    judged_by_all = set(found[0].answers).intersection(*(one.answers for one in found))
    return [one.only(judged_by_all) for one in found]


def _price(judge: JudgeConfig, prompts: Sequence[str]) -> float | None:
    """US dollars of a thousand answers of 256 tokens, by the judge's price file; None where nothing is paid or known."""
    cost = judge.asking_cost(prompts[:_PRICED], 1, _ANSWER_TOKENS)
    return None if cost is None or cost.usd is None else 1000 * cost.usd / len(prompts[:_PRICED])


def _show(told: JudgesPage) -> None:
    """For people, in tables that fit a terminal of eighty columns."""
    console = make_console()
    first = next(iter(told.comparison.judges.values()))
    console.print(
        f"{counted(first.n, 'answer')} to {counted(first.prompts, 'prompt')}: {escape(told.data)}", highlight=False, soft_wrap=True
    )
    for head, rows in told.tables(narrow=True):
        table = Table(*head, box=None, header_style="bold")
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
    for note in told.notes:
        console.print(f"[yellow]note[/] {escape(note)}", highlight=False, soft_wrap=True)
