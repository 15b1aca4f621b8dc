"""``valuedrift plan``: the tree of runs, their checkpoints, and what they will cost, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.tree import Tree

from valuedrift.flows.cli.app import app
from valuedrift.flows.cli.console import make_console

if TYPE_CHECKING:
    from valuedrift.study import Study


@app.command("plan")
def plan(
    study: Annotated[str, typer.Argument(help="Study file, local or s3://, e.g. deployments/studies/demo.yaml.", show_default=False)],
) -> None:
    """Print a study's runs, checkpoints and estimates of tokens, time and bytes. Runs nothing, needs no GPU and no hub."""
    from valuedrift.statistics.significance import minimum_detectable_drift
    from valuedrift.study import Plan, RunPlan, expand
    from valuedrift.study.estimate import Estimate, estimate
    from valuedrift.tasks.sources import count_of, probes_of, study_of

    spec = study_of(study)
    planned: Plan = expand(spec, count_of)
    probes = probes_of(spec.probes.set, topics=spec.probes.topics, per_topic=spec.probes.per_topic)
    console = make_console()
    costs = {run.run_id: estimate(run, spec, len(probes)) for run in planned.runs}

    def branch(tree: Tree, run: RunPlan) -> None:
        leaf = tree.add(_line(run.run_id, run.total_steps, run.steps, costs[run.run_id]))
        for child in planned.children(run.run_id):
            branch(leaf, child)

    for model in spec.models:
        tree = Tree(f"[bold]{escape(model)}[/] [dim]{escape(spec.models[model].path)}[/]")
        for run in planned.children(None):
            if run.model_name == model:
                branch(tree, run)
        console.print(tree, highlight=False, soft_wrap=True)
    total = Estimate.total(costs.values())
    evaluations = sum(len(run.steps) for run in planned.runs)
    topics = len({probe.topic for probe in probes})
    per_topic = len(probes) // max(topics, 1)
    smallest = minimum_detectable_drift(per_topic, spec.sampling.n)
    asked = f"{len(probes)} probes in {topics} topics × {spec.sampling.n} answers × {len(spec.judges)} judge(s)"
    console.print()
    for line in (
        f"{len(planned.runs)} runs, {evaluations} checkpoints × {asked}",
        f"training {total.training_tokens:.3g} tokens, sampling {total.sampling_tokens:.3g} tokens at most (equal weights are sampled once)",
        f"about {total.words_time()} · {total.words_bytes()} on disk, of it checkpoints {total.words_checkpoints()}",
        f"with {per_topic} prompts × {spec.sampling.n} samples a topic you can see a drift of {smallest:.2f} (power 80%, two-sided 5%)",
        *_asked(spec, [probe.prompt for probe in probes], evaluations),
    ):
        console.print(line, highlight=False, soft_wrap=True)


def _asked(spec: Study, prompts: list[str], checkpoints: int) -> Iterator[str]:
    """What each judge behind a server will be asked, and whether its budget is enough."""
    from valuedrift.tasks.sources import brought

    for judge in spec.judges:
        cost = judge.asking_cost(prompts, checkpoints * spec.sampling.n, spec.sampling.max_new_tokens, bring=brought)
        if cost is not None:
            yield f"judge {escape(judge.name)}: {cost.words()}"
            yield from (f"[yellow]{warning}[/]" for warning in cost.warnings())


def _line(run_id: str, total: int | None, steps: tuple[int, ...], cost: object) -> str:
    from valuedrift.study.estimate import Estimate

    assert isinstance(cost, Estimate)
    if total is None:
        return f"{escape(run_id)} [dim]steps unknown: the data are not at hand; declare `rows` in the study[/]"
    shown = ", ".join(map(str, steps)) if len(steps) <= 10 else f"{steps[0]}, {steps[1]}, {steps[2]} … {steps[-1]} ({len(steps)})"
    return (
        f"{escape(run_id)} [dim]{total} steps, checkpoints at {shown}; {cost.training_tokens:.3g} training tokens, {cost.words_time()}[/]"
    )
