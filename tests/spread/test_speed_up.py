"""How much sooner N workers are done than one, on a real server: checkpoints whose server sleeps, and real trainings on one thread each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster, flow_runs
from judging import tops
from misbehaving import Body, Handler, completion, serve, slow

pytestmark = [pytest.mark.figures, pytest.mark.timeout(3600)]

CHECKPOINTS = 8
DRAWS = 8
NAP = 2.0
"""Seconds that the server sleeps before each draw."""
MODELS = 4


@pytest.fixture(scope="module")
def sleeper() -> Iterator[str]:
    """The address of a server that sleeps before it answers, and judges at once."""
    judges, sleeps = completion("A", top=tops()), slow(NAP, completion("There are good reasons on both sides."))

    def act(handler: Handler, body: Body) -> None:
        (judges if body["model"] == "judge" else sleeps)(handler, body)

    running, state = serve(act)
    yield state.url
    running.shutdown()
    running.server_close()


def written(cluster: Cluster, study: Mapping[str, Any]) -> Path:
    path = cluster.folder / f"{study['study']}.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return path


def took(cluster: Cluster, study: Path, workers: int) -> tuple[float, list[float], list[float], list[float]]:
    """Spread a study over workers that have one part at a time each, on a root of its own.

    Returns:
        Seconds from the first part's being asked for to the last one's end; and of each part, seconds from its worker's taking it to its beginning, in it, and
        from its end to its worker's taking the next.
    """
    root = f"root-{study.stem}-{workers}"
    with ExitStack() as stack:
        for number in range(workers):
            stack.enter_context(cluster.worker(f"{root}-{number}", limit=1))
        cluster.run("run", str(study), "--root", root, "--spread")
    parts = [run["times"] for run in flow_runs(cluster) if run["parameters"].get("root", "").endswith(root) and "part" in run["parameters"]]
    taken, ended = sorted(part["Pending"] for part in parts), sorted(part["Completed"] for part in parts)
    between = [begun - end for end, begun in zip(ended, taken[workers:], strict=False)]
    starts, inside = [part["Running"] - part["Pending"] for part in parts], [part["Completed"] - part["Running"] for part in parts]
    return ended[-1] - min(part["Scheduled"] for part in parts), starts, inside, between


def table(cluster: Cluster, study: Path, counts: tuple[int, ...], sleep: float) -> dict[int, float]:
    """Print how long a study takes by numbers of workers; returns it as a share of one worker's time."""
    print(
        "\n| workers | seconds | of one worker's | a process starts in | a part takes | until the next is taken |\n|---|---|---|---|---|---|"
    )
    shares: dict[int, float] = {}
    alone = 0.0
    for workers in counts:
        whole, starts, inside, between = took(cluster, study, workers)
        alone = alone or whole
        shares[workers] = whole / alone
        means = " | ".join(f"{sum(some) / max(len(some), 1):.1f}" for some in (starts, inside, between))
        print(f"| {workers} | {whole:.0f} | {whole / alone:.2f} | {means} |", flush=True)
        assert min(inside) >= sleep
    return shares


def test_stages_that_sleep(cluster: Cluster, sleeper: str) -> None:
    study = {
        "study": "sleeps",
        "probes": {"topics": ["immigration"], "per_topic": DRAWS // 2},
        "engine": {"type": "openai", "base_url": sleeper, "concurrency": 1},
        "served": {"m": {10 * number: f"m-{number}" for number in range(CHECKPOINTS)}},
        "judges": [{"type": "openai", "model": "judge", "base_url": sleeper, "concurrency": 8}],
        "sampling": {"n": 2, "max_new_tokens": 8},
        "analysis": {"resamples": 100},
        "runtime": {"threads": 1, "device": "cpu", "spread": "checkpoints"},
    }
    cluster.run("deploy")
    print(f"\n{CHECKPOINTS} checkpoints that sleep {DRAWS * NAP:.0f} s each")
    shares = table(cluster, written(cluster, study), (1, 2, 4), sleep=DRAWS * NAP)
    assert shares[2] < 0.5 + 0.15 and shares[4] < 0.25 + 0.2, "N workers take 1/N of the time, and what beginning a part costs"


def test_real_trainings_on_one_thread_each(cluster: Cluster) -> None:
    from broken_files import SOUND_STUDY
    from untied import save_untied

    for number in range(MODELS):
        save_untied(cluster.folder / f"model-{number}", seed=number, max_position_embeddings=512)
    study = {
        **SOUND_STUDY,
        "study": "trains",
        "models": {f"m{number}": {"path": f"model-{number}"} for number in range(MODELS)},
        "corpora": {"c": {"data": "starter:sft-neutral", "limit": 64}},
        "sft": [{"data": ["c"], "algorithm": {"type": "sft", "steps": 60, "learning_rate": 1e-3}}],
        "checkpoints": {"type": "log", "points": 2},
        "audit": None,
        "runtime": {"workers": 1, "threads": 1, "device": "cpu"},
    }
    del study["preferences"], study["preference"]
    cluster.run("deploy")
    print(f"\n{MODELS} models of two layers, each asked, trained for 60 steps and asked again")
    shares = table(cluster, written(cluster, study), (1, 2), sleep=0)
    assert shares[2] < 0.8, "two workers on two cores"
