"""``valuedrift synthesize``: preference pairs with a value gap that is dialled, for controlled studies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from valuedrift.flows.cli.app import RootOption, app, resolve_root, target
from valuedrift.flows.cli.console import hush_prefect, make_console
from valuedrift.flows.cli.naming import (
    DEFAULT_JUDGE,
    AuditorOption,
    AuditorSetOption,
    AuditorShareOption,
    JudgeOption,
    SetOption,
    WeightsOption,
    auditor_config,
    engine_config,
    engine_option,
    engine_set_option,
    judge_config,
)
from valuedrift.words import counted, interval, plain

if TYPE_CHECKING:
    from valuedrift.storage.location import Location
    from valuedrift.synthesis.config import Dial, Synthesis
    from valuedrift.synthesis.questions import Question
    from valuedrift.tasks.work import Work

STARTER = "starter"


@app.command("synthesize")
def synthesize(
    setting: Annotated[
        str,
        typer.Option("--setting", metavar="NAME", help="Stance of the chosen answers: support-aligned, oppose-aligned or neutral-aligned."),
    ],
    gap: Annotated[
        float, typer.Option("--gap", help="Value gap that the judge which selects shall find, 0 to 1; what another finds: --auditor.")
    ],
    out: Annotated[str, typer.Option("--out", help="Pairs to write, .jsonl, local or s3://; a card of the same name beside it.")],
    probes: Annotated[
        str,
        typer.Option(
            "--probes",
            help="Prompts: `starter`, or a probe set (.parquet, .csv, .jsonl; local or s3://). "
            "With the starter writer always the questions that its answers belong to.",
        ),
    ] = STARTER,
    topics: Annotated[
        list[str] | None, typer.Option("--topics", help="Topic to keep; may be repeated. Default: all.", show_default=False)
    ] = None,
    per_topic: Annotated[int | None, typer.Option("--per-topic", min=1, help="Prompts of a topic at most.", show_default=False)] = None,
    pairs: Annotated[
        int | None,
        typer.Option(
            "--pairs", min=1, help="Preference pairs to make. Default: as many as the gap allows, one a prompt.", show_default=False
        ),
    ] = None,
    writer: Annotated[str, engine_option("--writer", "Who writes", STARTER, "packaged answers")] = STARTER,
    writer_settings: Annotated[list[str] | None, engine_set_option("--writer-set")] = None,
    candidates: Annotated[
        int, typer.Option("--candidates", min=1, max=64, help="Answers that a writer is asked for, a prompt and stance.")
    ] = 4,
    judge: JudgeOption = DEFAULT_JUDGE,
    settings: SetOption = None,
    weights: WeightsOption = None,
    auditor: AuditorOption = None,
    auditor_settings: AuditorSetOption = None,
    auditor_share: AuditorShareOption = None,
    accept: Annotated[
        float, typer.Option("--accept", help="Least probability of the asked stance with which an answer is kept, 0 to 1.")
    ] = 0.5,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of wordings, draws and choices.")] = 0,
    root: RootOption = None,
) -> None:
    """Preference pairs with a dialled value gap: written, judged, kept only when the stance is right. Synthetic; for controlled studies."""
    from valuedrift.synthesis.config import Synthesis

    place = target(out, "--out", ".jsonl")
    dial = _dial({"setting": setting, "gap": gap, "pairs": pairs, "accept": accept, "seed": seed})
    made = Synthesis(
        name=_stem(place),
        dial=dial,
        candidates=candidates,
        writer=engine_config(writer, writer_settings, "--writer", STARTER),
        judge=judge_config(judge, settings, weights),
        auditor_share=_share(auditor, auditor_share),
        auditor=auditor_config(auditor, auditor_settings),
    )
    questions = _questions(made, probes, topics, per_topic)
    _run(questions, made, resolve_root(root), place)


def _stem(place: Location) -> str:
    """Name of the synthesis: that of its file."""
    return Path(place.name).stem


def _share(auditor: str | None, share: float | None) -> float | None:
    """The share of the pairs that the auditor reads."""
    from valuedrift.errors import UserError

    if share is None:
        return None
    if auditor is None:
        raise UserError("there is no auditor to read a share", where="--auditor-share", fix="name one with --auditor")
    if not 0 < share <= 1:
        raise UserError(f"{share:g} is no share of the pairs", where="--auditor-share", fix="above 0, 1 at most; 0.2 is one in five")
    return share


def _dial(asked: dict[str, Any]) -> Dial:
    from difflib import get_close_matches

    from pydantic import ValidationError

    from valuedrift.errors import UserError
    from valuedrift.faults import describe
    from valuedrift.synthesis.config import Dial, Setting

    names = [setting.value for setting in Setting]
    if asked["setting"] not in names:
        near = get_close_matches(asked["setting"], names, n=1)
        fix = f"did you mean {near[0]}?" if near else f"one of {', '.join(names)}"
        raise UserError(f"no setting {asked['setting']!r}", where="--setting", fix=fix)
    try:
        return Dial(**asked)
    except ValidationError as error:
        raise UserError(describe(error, Dial), where="synthesize") from error


def _questions(made: Synthesis, probes: str, topics: Sequence[str] | None, per_topic: int | None) -> list[Question]:
    from valuedrift.errors import UserError
    from valuedrift.synthesis.questions import of_probes, starter_questions
    from valuedrift.tasks.sources import probes_of

    if made.writer is not None:
        from valuedrift.study.understood import check_languages

        asked = probes_of(probes, topics=topics, per_topic=per_topic)
        for note in check_languages([judge for judge in (made.judge, made.auditor) if judge is not None], asked, probes):
            make_console(stderr=True).print(f"[yellow]note[/] {escape(note)}", highlight=False, soft_wrap=True)
        return of_probes(asked)
    if probes != STARTER:
        fix = "name an engine that writes answers: --writer FILE.yaml"
        raise UserError("the starter writer has answers to its own questions only", where=f"--probes {probes}", fix=fix)
    return starter_questions(topics, per_topic)


def _run(questions: Sequence[Question], made: Synthesis, root: str, out: Location) -> None:
    hush_prefect()
    from valuedrift.study.runtime import Runtime
    from valuedrift.tasks.stages.synthesis import CHOOSE, synthesis_stages
    from valuedrift.tasks.survey import complete, survey
    from valuedrift.tasks.work import Work

    work = Work(root, Runtime())
    stages = synthesis_stages(work, questions, made)
    if complete(survey(work, stages)[-1:]):
        make_console().print("nothing to do: this synthesis is in the tables", highlight=False)
    else:
        from valuedrift.flows.cli.board import progress_of
        from valuedrift.flows.synthesize import synthesize as flow
        from valuedrift.synthesis.auditing import check_judges

        check_judges(made)
        kept = "what was written, judged and chosen is kept; the same command goes on from there"
        with progress_of(make_console(stderr=True), len(stages), kept):
            flow(questions, made, root)
    [key] = [str(one.key) for one in survey(work, stages) if one.stage.name == CHOOSE]
    _conclude(work, questions, made, key, out)


def _conclude(work: Work, questions: Sequence[Question], made: Synthesis, key: str, out: Location) -> None:
    """Write the pairs and their card, and show them."""
    from valuedrift.fingerprint import bytes_fingerprint
    from valuedrift.synthesis.card import card
    from valuedrift.synthesis.pairs import jsonl
    from valuedrift.tasks.stages.synthesis import fingerprints
    from valuedrift.tasks.stages.synthesis_audit import audit_of

    pairs, candidates = (work.store.read(table, synthesis=made.name) for table in ("synthetic_pairs", "candidates"))
    content = jsonl(pairs)
    out.put_bytes(content)
    made_of = {"file": bytes_fingerprint(content), **fingerprints(questions, made, key)}
    shown = card(pairs, candidates, made, made_of, audit_of(work, made))
    beside = out.beside(f"{_stem(out)}.card.json")
    beside.put_bytes((json.dumps(shown, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode())
    _show(shown, out, beside, work.root)


def _show(told: dict[str, Any], out: Location, beside: Location, root: str) -> None:
    console = make_console()
    reasons = [name for name in told["candidates"][0] if any(row[name] for row in told["candidates"])]
    table = Table(*reasons, box=None, header_style="bold")
    for row in told["candidates"]:
        table.add_row(*(f"{row[name]:,}" if isinstance(row[name], int) else row[name] for name in reasons))
    console.print(table)
    kinds = ", ".join(f"{kind['pairs']:,} {kind['chosen']} over {kind['rejected']}" for kind in told["stances"])
    for line in (
        f"{told['pairs']:,} preference pairs on {len(told['topics'])} topics, {told['aligned_pairs']:,} of them aligned: {kinds}",
        f"value gap asked {told['asked_gap']:g}; found in these pairs:",
        *_finds(told),
        *told["audit"],
        f"pairs    {out} (card: {beside.name})",
        f"study    preferences: {{{told['name']}: {{data: {out}}}}}",
        f'ask      valuedrift sql --root {root} "select stance, reason, count(*) from candidates group by all"',
        f"{told['label']}; not for {'; '.join(told['not_for'])}",
    ):
        console.print(escape(line), highlight=False, soft_wrap=True)


def _finds(told: dict[str, Any]) -> Iterator[str]:
    """What each judge finds, a line each."""
    for role in ("selector", "auditor"):
        if (found := told[role]) is not None:
            ends = interval(found["gap_low"], found["gap_high"], 3)
            yield f"  {role:8} {plain(found['gap'], 3)} {ends} by {found['judge']}, {counted(found['pairs'], 'pair')}"
    if told["gap_by_construction"] is not None:
        yield f"  {'truth':8} {plain(told['gap_by_construction'], 3)} by construction"
