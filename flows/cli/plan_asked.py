"""What a plan says of judges, servers and tasks: how much each is asked, and what that costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from valuedrift.words import counted

if TYPE_CHECKING:
    from valuedrift.judges.cascade import Cascade
    from valuedrift.judges.registry import JudgeConfig
    from valuedrift.servers.prices import AskingCost
    from valuedrift.study.reading import Reading
    from valuedrift.tasks.stage import Stage
    from valuedrift.tasks.study_work import StudyWork


def asked_of(work: StudyWork, checkpoints: int) -> Iterator[str]:
    """What an engine and judges behind servers will be asked, and whether their budgets are enough."""
    from valuedrift.study.reading import told
    from valuedrift.tasks.sources import brought

    spec = work.study
    if not isinstance(spec.engine, str):
        priced = next(iter(spec.served.values()))
        sampled = spec.engine.naming(priced[min(priced)]).asking_cost(
            [prompt.whole_text for prompt in work.asked], checkpoints * spec.sampling.n, spec.sampling.most_tokens, bring=brought
        )
        if sampled is not None:
            yield f"engine {escape(spec.engine.type)}: {sampled.words()}"
            yield from (f"[yellow]{warning}[/]" for warning in sampled.warnings())
    strong = {cascade.strong for cascade in spec.cascades}
    for judge in spec.judges:
        cost = _judging_cost(work, judge, checkpoints)
        if cost is not None and judge.name not in strong:
            yield f"judge {escape(judge.name)}: {cost.words()}"
            yield from (f"[yellow]{warning}[/]" for warning in cost.warnings())
    for cascade in spec.cascades:
        chosen, *others = readings(work, cascade, checkpoints)
        yield from (escape(line) for line in told(cascade, chosen, others))
        yield from (f"[yellow]{warning}[/]" for warning in (chosen.cost.warnings() if chosen.cost else ()))


def tested(work: StudyWork, stages: Sequence[Stage]) -> Iterator[str]:
    """What the tasks of `capability` ask of a checkpoint; of those whose data are not at hand nothing is known."""
    from valuedrift.errors import UserError

    capability = work.study.capability
    put = Counter(stage.result.slot for stage in stages if stage.name == "capability")
    for task in capability.tasks if capability is not None else ():
        times = f"{escape(task.title)}: put to {counted(put[task.title], 'checkpoint')}"
        try:
            found = work.task(task)
        except UserError as fault:
            yield f"task {times}; items unknown: {escape(str(fault))}"
            continue
        yield f"task {times}, each {counted(found.n_items, 'item')} in {counted(found.n_requests, 'request')}"


def _judging_cost(work: StudyWork, judge: JudgeConfig, checkpoints: int) -> AskingCost | None:
    """What a server is asked where a judge reads every answer."""
    from valuedrift.tasks.sources import brought

    spec = work.study
    asked = [probe.prompt for probe in work.probes if not probe.options]
    return judge.asking_cost(asked, checkpoints * spec.sampling.n, spec.sampling.most_tokens, bring=brought)


def readings(work: StudyWork, cascade: Cascade, checkpoints: int) -> list[Reading]:
    """What a cascade reads, and then what it could."""
    from valuedrift.study.reading import SHARES, reading
    from valuedrift.tasks.stages.cascade import share_of

    strong = next(judge for judge in work.study.judges if judge.name == cascade.strong)
    samples, prompts = work.study.sampling.n, min(Counter(probe.topic for probe in work.probes).values())
    answers, cost = checkpoints * samples * len(work.probes), _judging_cost(work, strong, checkpoints)
    asked = [probe.prompt for probe in work.probes if not probe.options]
    tokens = strong.reading_tokens(asked, checkpoints * samples, work.study.sampling.most_tokens)
    return [
        reading(share, prompts=prompts, samples=samples, answers=answers, everything=cost, tokens=tokens)
        for share in (share_of(work, cascade), *SHARES)
    ]
