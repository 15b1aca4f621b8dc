"""``valuedrift watch``: follow the checkpoints of a training that something else does, and show how the values move while it does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from valuedrift.flows.cli.app import ReportOption, RootOption, app, resolve_root
from valuedrift.flows.cli.console import hush_prefect, make_console
from valuedrift.flows.cli.naming import DEFAULT_JUDGE, JudgeOption, SetOption, named_judge
from valuedrift.flows.cli.trace import conclude
from valuedrift.flows.cli.watched_study import study_file
from valuedrift.words import counted

if TYPE_CHECKING:
    from valuedrift.tasks.study_work import StudyWork

_STUDIES = (".yaml", ".yml")
_BESIDE_A_STUDY = ("source", "once", "fail_if", "root", "report")
"""What says how a study is followed, and not what it is."""
FAILED_BY_ALERT = 5
"""Exit code of a watch in which an alert of --fail-if fired."""


@app.command("watch")
def watch(
    context: typer.Context,
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Where the checkpoints lie: a run's folder (out/), a pattern (out/checkpoint-\\*), either also in a bucket (s3://bucket/run/), "
            "revisions on the hub (hf:organisation/name@step\\*), or several of these. Or a study file, whose series are followed.",
            show_default=False,
        ),
    ],
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="MODEL",
            help="The model that the training started from: step 0, and the tokenizer of checkpoints without one. Adapters name theirs.",
            show_default=False,
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Do what is there, and end; else wait for more until the training ends.")] = False,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of study and run; default: after the source.", show_default=False)
    ] = None,
    probes: Annotated[str, typer.Option("--probes", help="The questions: `starter`, or a file of them, local or s3://.")] = "starter",
    topics: Annotated[
        list[str] | None, typer.Option("--topics", help="Topics to ask about; may be repeated. Default: all.", show_default=False)
    ] = None,
    per_topic: Annotated[int | None, typer.Option("--per-topic", min=2, help="Probes a topic. Default: all.", show_default=False)] = None,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Answers a probe and checkpoint.")] = 5,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Tokens an answer may have.")] = 256,
    judge: JudgeOption = DEFAULT_JUDGE,
    settings: SetOption = None,
    engine: Annotated[
        str, typer.Option("--engine", help="What draws the answers: transformers, vllm, or one of your own.")
    ] = "transformers",
    budget: Annotated[
        int | None,
        typer.Option(
            "--budget",
            min=3,
            help="Checkpoints that are evaluated at most: the ends, then those that tell most. Default: all.",
            show_default=False,
        ),
    ] = None,
    alert: Annotated[
        list[str] | None,
        typer.Option(
            "--alert",
            metavar="RULE",
            help="What is told as soon as it is sure, e.g. 'neutral on immigration < -0.2'; may be repeated. Default: whatever has moved.",
            show_default=False,
        ),
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option("--fail-if", metavar="RULE", help="An alert that makes the exit code 5; may be repeated.", show_default=False),
    ] = None,
    idle: Annotated[float, typer.Option("--idle", min=0.01, help="Minutes without anything new after which it ends.")] = 120.0,
    tracker: Annotated[
        list[str] | None,
        typer.Option(
            "--tracker",
            metavar="TRACKER",
            help="Where drift is told beside the curves of the training: tensorboard, mlflow, wandb, or with settings: "
            "'{type: mlflow, uri: …}'; may be repeated.",
            show_default=False,
        ),
    ] = None,
    root: RootOption = None,
    report: ReportOption = None,
) -> None:
    """Follow checkpoints that something else trains: sample and judge each as it appears, and show how far every stance has moved."""
    hush_prefect()
    from valuedrift.storage.location import Location
    from valuedrift.watching.alerts import alerts_from
    from valuedrift.watching.series import named_after

    place = resolve_root(root)
    console = make_console()
    rules = [*alerts_from(alert or ["moved"]).rules, *(alerts_from(fail_if, where="--fail-if").rules if fail_if else ())]
    if any(one.endswith(_STUDIES) for one in source):
        _check_that_the_file_says_it(context, source)
        study = source[0]
    else:
        run_id = name or named_after(source[0])
        written: dict[str, Any] = {
            "study": run_id,
            "probes": {"set": probes, **({"topics": topics} if topics else {}), **({"per_topic": per_topic} if per_topic else {})},
            "series": {run_id: {"source": source[0] if len(source) == 1 else source, **({"base": base} if base else {})}},
            "sampling": {"n": samples, "max_new_tokens": max_new_tokens},
            "engine": engine,
            "alerts": list(dict.fromkeys(rule.text for rule in rules)),
            **({"checkpoints": {"type": "adaptive", "budget": budget}} if budget else {}),
            "judges": [named_judge(judge, settings).model_dump(mode="json", exclude_unset=True)],
            "runtime": {"watch_idle_minutes": idle, **({"trackers": [_tracker(one) for one in tracker]} if tracker else {})},
        }
        study = study_file(written, place, console, live=not once).uri
    folder = Location.parse(report).reached().uri if report else None
    failing = {rule.text for rule in alerts_from(fail_if, where="--fail-if").rules} if fail_if else set()
    work = _follow(study, place, folder, failing, live=not once, console=console)
    if failing and _fired(work, failing):
        raise typer.Exit(FAILED_BY_ALERT)


def _check_that_the_file_says_it(context: typer.Context, source: list[str]) -> None:
    """See that nothing is said beside a study file that only the file can say.

    Raises:
        UserError: Another source, or an option that would have no effect.
    """
    from valuedrift.errors import UserError

    if len(source) > 1:
        raise UserError(
            "a study file beside other sources", where=f"watch {' '.join(source)}", fix="the study file alone: it names its series"
        )
    given = [
        max(parameter.opts, key=len)
        for parameter in context.command.params
        if parameter.name not in _BESIDE_A_STUDY and _is_on_the_line(context, str(parameter.name))
    ]
    if given:
        raise UserError(
            f"{' and '.join(given)} beside a study file would have no effect",
            where=source[0],
            fix="say it in the file (alerts, probes, sampling, judges, checkpoints, runtime), or give the checkpoints' folder instead of a study",
        )


def _is_on_the_line(context: typer.Context, name: str) -> bool:
    """Whether an option was given, and not left to its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"  # by its name: typer has an enum of its own


def _tracker(written: str) -> Any:
    """A tracker as a study file has it: its name, or its settings in YAML's braces.

    Raises:
        UserError: It is no YAML.
    """
    import yaml

    from valuedrift.errors import UserError

    try:
        return yaml.safe_load(written)
    except yaml.YAMLError as error:
        raise UserError(
            "not readable", where=f"--tracker {written}", fix="--tracker tensorboard, or --tracker '{type: mlflow, uri: …}'"
        ) from error


def _fired(work: StudyWork, rules: set[str]) -> bool:
    """Whether one of some alerts fired."""
    return work.store.read("alerts", study=work.name).get_column("rule").is_in(sorted(rules)).any()


def _say_what_is_there(work: StudyWork, console: Console) -> None:
    """Which checkpoints there are, and how much each is asked."""
    from valuedrift.references import is_address, is_pattern, names_folder
    from valuedrift.watching.alerts import Alerts

    for name in work.study.series:
        steps = ", ".join(str(step) for step in work.watch.seen(name).whole) or "none yet"
        console.print(f"found    {escape(name)}: steps {steps}", soft_wrap=True, highlight=False)
        for place in work.study.series[name].places:
            if names_folder(place) and not is_address(place) and not is_pattern(place) and not Path(place).exists():
                console.print(f"         {escape(place)} is not there yet: waiting", soft_wrap=True, highlight=False)
    for rule in (work.study.alerts or Alerts()).rules:
        console.print(f"alerts   {escape(rule.text)}", soft_wrap=True, highlight=False)
    console.print(f"asks     {counted(len(work.probes), 'probe')} × {counted(work.study.sampling.n, 'answer')} of each", highlight=False)


def _follow(study: str, root: str, folder: str | None, failing: set[str], *, live: bool, console: Console) -> StudyWork:
    """Follow a study's series to their end and show what came of it.

    Args:
        study: Address of its file.
        root: Of the tables.
        folder: For reports; None: below the root.
        failing: The alerts that make the exit code 5.
        live: Whether to wait for more.
        console: Where it is told.

    Raises:
        UserError: There is nothing to follow, or an alert that the study does not have is to make the exit code.
    """
    from valuedrift.errors import UserError
    from valuedrift.flows.cli.board import progress_of
    from valuedrift.flows.trace import trace
    from valuedrift.tasks.sources import study_of
    from valuedrift.tasks.stages.registry import stages_of
    from valuedrift.tasks.stages.track import check_trackers
    from valuedrift.tasks.study_work import StudyWork
    from valuedrift.tasks.watching import check_beginning
    from valuedrift.watching.alerts import Alerts

    work = StudyWork(study_of(study), root, folder)
    if not work.study.series:
        raise UserError("this study has no `series` to follow", where=study, fix="valuedrift run does what it trains itself")
    known = [rule.text for rule in (work.study.alerts or Alerts()).rules]
    if lacking := failing.difference(known):
        raise UserError(
            f"{sorted(lacking)[0]!r} is no alert of the study, so it would never fire",
            where=f"--fail-if {study}",
            fix=f"add it to `alerts`; it has {', '.join(map(repr, known)) or 'none'}",
        )
    check_trackers(work)
    check_beginning(work, live=live)
    _say_what_is_there(work, console)
    with progress_of(console, len(stages_of(work)), "what finished is kept; the same command goes on from there"):
        trace(study, root, folder, live)
    conclude(work, console)
    if known and not work.store.read("alerts", study=work.name).height:
        console.print(f"alerts   {'none fired' if len(known) > 1 else 'it did not fire'}: {escape(', '.join(known))}", highlight=False)
    return work
