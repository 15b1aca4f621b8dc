"""``valuedrift plan``: the tree of runs, their checkpoints, and what they will cost, before anything runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from valuedrift.flows.cli.app import JsonOption, RootOption, app, print_json, resolve_root
from valuedrift.flows.cli.console import make_console
from valuedrift.flows.cli.plan_asked import asked_of, readings, tested
from valuedrift.words import counted

if TYPE_CHECKING:
    from valuedrift.study import RunPlan, SeriesRun, ServedRun
    from valuedrift.study.estimate import Estimate
    from valuedrift.study.memory import Memory
    from valuedrift.tasks.stage import Stage
    from valuedrift.tasks.study_work import StudyWork


@app.command("plan")
def plan(
    study: Annotated[str, typer.Argument(help="Study file, local or s3://, e.g. deployments/studies/demo.yaml.", show_default=False)],
    root: RootOption = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Also look whether anything stands in the way: opens models (headers alone), reads the data."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print a study's runs, checkpoints, stages and estimates of tokens, time and bytes. Runs nothing, needs no GPU and, without `--check`, no hub."""
    from valuedrift.statistics.significance import minimum_detectable_drift
    from valuedrift.study.estimate import Estimate, estimate
    from valuedrift.study.memory import memory
    from valuedrift.tasks.sources import study_of
    from valuedrift.tasks.stages.registry import stages_of
    from valuedrift.tasks.study_work import StudyWork

    work = StudyWork(study_of(study), resolve_root(root))
    looked = ""
    if check:
        from valuedrift.tasks.ahead import CHECKS, check_ahead

        check_ahead(work)
        looked = f"nothing stands in the way; looked at {', '.join(one.name for one in CHECKS)}"
    stages = stages_of(work)
    notes = [*work.notes(), *_again(work, stages)]
    spec, planned, probes = work.study, work.plan, work.probes
    costs = {run.run_id: estimate(run, spec, len(probes)) for run in planned.runs}
    held = {
        run.run_id: memory(run.algorithm, run.model.known_parameters, spec.runtime) for run in planned.runs if run.model.known_parameters
    }
    total = Estimate.total(costs.values())
    topics = len({probe.topic for probe in probes})
    per_topic = len(probes) // max(topics, 1)
    smallest = minimum_detectable_drift(per_topic, spec.sampling.n) if per_topic > 1 else None
    evaluations = sum(_at_most(work, run) for run in planned.sampled)
    if as_json:
        cascades = {one.name: [size.flat() for size in readings(work, one, evaluations)] for one in spec.cascades}
        print_json({**_plain(work, stages, costs, held, total, smallest, notes), **({"cascades": cascades} if cascades else {})})
        return
    console = make_console()
    _show_runs(work, costs, held, console)
    asked = f"{counted(len(probes), 'probe')} in {counted(topics, 'topic')} × {counted(spec.sampling.n, 'answer')} × {counted(len(spec.judges), 'judge')}"
    console.print()
    for line in (
        *_once_a_seed(work),
        f"{counted(len(planned.sampled), 'run')}, {'at most ' * (work.study.checkpoints.type == 'adaptive')}"
        f"{counted(evaluations, 'checkpoint')} × {asked}",
        f"{counted(len(stages), 'stage')}: {', '.join(f'{count} {name}' for name, count in Counter(stage.name for stage in stages).items())}",
        *([] if not planned.runs else _costs(work, total, [name for name, model in spec.models.items() if model.known_parameters is None])),
        _visible(per_topic, spec.sampling.n, smallest),
        *asked_of(work, evaluations),
        *tested(work, stages),
        *(f"[yellow]note[/] {escape(note)}" for note in notes),
        *([looked] if looked else []),
    ):
        console.print(line, highlight=False, soft_wrap=not console.is_terminal)


def _once_a_seed(work: StudyWork) -> Iterator[str]:
    """That runs are trained several times, where they are."""
    if groups := work.plan.seed_groups:
        seeds = ", ".join(map(str, work.study.seeds))
        yield f"{counted(len(set(groups.values())), 'training')}, each once a seed ({seeds}); what starts from a base model shares its answers at step 0"


def _at_most(work: StudyWork, run: RunPlan | ServedRun | SeriesRun) -> int:
    """How many checkpoints of a run are evaluated in the end; which ones may be chosen on the way."""
    if run.run_id not in work.study.series or work.watch.budget is None:
        return len(run.steps)
    return min(work.watch.budget, len(work.watch.there(run.run_id)))


def _visible(per_topic: int, samples: int, smallest: float | None) -> str:
    """The smallest drift that the questions show."""
    if smallest is None:
        return f"with {counted(per_topic, 'prompt')} a topic no drift can be told from noise: at least 2, 50 in the paper"
    return f"with {per_topic} prompts × {samples} samples a topic you can see a drift of {smallest:.2f} (power 80%, two-sided 5%)"


def _show_runs(work: StudyWork, costs: Mapping[str, Estimate], held: Mapping[str, Memory], console: Console) -> None:
    """A tree a model: its runs, each below the one that it starts from."""
    spec, planned = work.study, work.plan

    def branch(tree: Tree, run: RunPlan) -> None:
        leaf = tree.add(_line(run.run_id, run.total_steps, run.steps, costs[run.run_id], held.get(run.run_id)))
        for child in planned.children(run.run_id):
            branch(leaf, child)

    for model in spec.models:
        tree = Tree(f"[bold]{escape(model)}[/] [dim]{escape(spec.models[model].path)}[/]")
        for run in planned.children(None):
            if run.model_name == model:
                branch(tree, run)
        console.print(tree, highlight=False, soft_wrap=not console.is_terminal)
    for series in planned.series:
        there = [one.step for one in work.watch.there(series.run_id)]
        chosen = _at_most(work, series) < len(there)
        shown = f"at most {_at_most(work, series)} of {len(there)}: " * chosen + (_steps(there) if there else "none yet")
        console.print(
            f"{escape(series.run_id)} [dim]trained by something else, {escape(', '.join(series.series.places))}; checkpoints {shown}[/]",
            highlight=False,
            soft_wrap=True,
        )
    for served in planned.served:
        names = ", ".join(f"{step} {name}" for step, name in sorted(served.models.items()))
        console.print(
            f"{escape(served.run_id)} [dim]served, nothing is trained; checkpoints {escape(names)}[/]", highlight=False, soft_wrap=True
        )


def _costs(work: StudyWork, total: Estimate, unknown: Sequence[str]) -> list[str]:
    """What training and sampling on this machine take; of models of unknown size only the tokens are known."""
    size = f"time, disk and memory are not known: declare models.{unknown[0]}.parameters" if unknown else _room(work, total)
    return [
        f"training {total.training_tokens:.3g} tokens, sampling {total.sampling_tokens:.3g} tokens at most (equal weights are sampled once)",
        size,
    ]


def _room(work: StudyWork, total: Estimate) -> str:
    """Time, disk and memory."""
    return (
        f"about {total.words_time()} · {total.words_disk(work.runtime.checkpoints.keep, _peak(work))} · "
        f"training holds up to {total.words_memory()} of weights in memory"
    )


def _peak(work: StudyWork) -> float:
    """The most bytes that weights take at a time."""
    from valuedrift.study.disk import peak_bytes
    from valuedrift.study.estimate import bytes_of_checkpoint

    runs = work.plan.runs
    return peak_bytes(runs, {run.run_id: bytes_of_checkpoint(run) for run in runs}, work.runtime.checkpoints.keep, work.runtime.workers)


def _again(work: StudyWork, stages: Sequence[Stage]) -> list[str]:
    """Phases that were trained and are trained again, and why; looked for only where the study has tables."""
    from valuedrift.errors import UserError
    from valuedrift.tasks.survey import trained_again

    if not work.store.entries("runs", work.name):
        return []
    try:
        return trained_again(work, stages)
    except UserError:  # a model or data that is not at hand: `--check` says so
        return []


def _plain(
    work: StudyWork,
    stages: Sequence[Stage],
    costs: Mapping[str, Estimate],
    held: Mapping[str, Memory],
    total: Estimate,
    smallest: float | None,
    notes: Sequence[str],
) -> dict[str, Any]:
    """The plan for JSON."""
    runs = [
        {
            "run_id": run.run_id,
            "parent_run_id": run.parent_run_id,
            "phase": run.phase,
            "dataset": run.dataset_name,
            "seed": run.seed,
            "total_steps": run.total_steps,
            "steps": list(run.steps),
            **asdict(costs[run.run_id]),
            "memory_of_a_process": asdict(held[run.run_id]) if run.run_id in held else None,
        }
        for run in work.plan.runs
    ]
    runs += [
        {
            "run_id": run.run_id,
            "phase": run.series.phase,
            "steps": list(run.steps),
            "at_most": _at_most(work, run),
            "there": len(work.watch.there(run.run_id)),
            "source": list(run.series.places),
        }
        for run in work.plan.series
    ]
    runs += [
        {"run_id": run.run_id, "phase": "served", "steps": list(run.steps), "models": list(run.models.values())} for run in work.plan.served
    ]
    listed = [
        {"stage": one.name, "run_id": one.run_id or None, "step": one.step, "by": one.result.slot or None, "on": one.on} for one in stages
    ]
    return {
        "study": work.study.study,
        "runs": runs,
        "stages": listed,
        "probes": len(work.probes),
        "total": {**asdict(total), "peak_bytes": _peak(work)},
        "smallest_drift": smallest,
        "notes": notes,
    }


def _line(run_id: str, total: int | None, steps: tuple[int, ...], cost: Estimate, held: Memory | None) -> str:
    if total is None:
        return f"{escape(run_id)} [dim]steps unknown: the data are not at hand; declare `rows` in the study[/]"
    shown = _steps(steps)
    time = f", {cost.words_time()}" if cost.training_flops else ""
    room = f"\nmemory of a process: {held.words()}" if held is not None else ""
    return f"{escape(run_id)}\n[dim]{counted(total, 'step')}, checkpoints at {shown}; {cost.training_tokens:,.0f} training tokens{time}{room}[/]"


def _steps(steps: Sequence[int]) -> str:
    """Steps as they are shown: all of a few, of many the first ones and the last."""
    return ", ".join(map(str, steps)) if len(steps) <= 10 else f"{steps[0]}, {steps[1]}, {steps[2]} … {steps[-1]} ({len(steps)})"
