"""A flow run on a worker is suspended, resumed and cancelled, and one of the command line is cancelled: each time its training keeps all its steps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from cluster import Cluster

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("training", "integration")]

from real_runs import step_of, until, write_study  # noqa: E402
from tiny_training import save_tiny_chat  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1800)]

STEPS = 900


@pytest.fixture
def client(cluster: Cluster) -> Iterator[object]:
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: cluster.address}), get_client(sync_client=True) as client:
        yield client


def _saved(root: Path) -> int:
    """The step of the state that a training would go on from."""
    return max((int(path.name.removeprefix("ready-")) for path in root.glob("weights/*/_state/policy/ready-*")), default=0)


def test_a_training_keeps_its_steps_whoever_ends_it(cluster: Cluster, client: object) -> None:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.flow_runs import resume_flow_run, suspend_flow_run
    from prefect.states import Cancelling

    assert isinstance(client, SyncPrefectClient)
    folder = cluster.folder / "stopped"
    folder.mkdir()
    study, root = write_study(folder / "study", save_tiny_chat(folder / "tiny"), steps=STEPS, state_seconds=3600), folder / "root"
    cluster.run("deploy", "--study", str(study), "--root", str(root))
    kept: dict[str, tuple[int, int]] = {}

    def ended(how: str, end: Callable[[], object], state: str, run: UUID) -> None:
        """End a flow run once its training has gone on for some steps, and see what is saved."""
        before = _saved(root)
        until(lambda: step_of(root, 0) > before + 10, f"steps before {how}", 600)
        reached = step_of(root, 0)
        end()

        def told() -> bool:
            found = client.read_flow_run(run).state
            return found is not None and found.name == state and not list((root / ".scratch").glob("job-*"))

        until(told, state, 120)
        kept[how] = (reached, _saved(root))

    with cluster.worker("stopped"):
        begun = client.create_flow_run_from_deployment(client.read_deployment_by_name("trace/small").id)
        ended("suspend", lambda: suspend_flow_run(flow_run_id=begun.id), "Suspended", begun.id)
        resume_flow_run(begun.id)
        ended("cancel", lambda: client.set_flow_run_state(begun.id, Cancelling()), "Cancelled", begun.id)
    command = cluster.start("run", str(study), "--root", str(root))
    until(lambda: any(one.deployment_id is None for one in client.read_flow_runs()), "the flow run of the command", 300)
    own = next(one for one in client.read_flow_runs() if one.deployment_id is None)
    ended("cancel of a command", lambda: client.set_flow_run_state(own.id, Cancelling()), "Cancelled", own.id)
    said = command.communicate(timeout=120)[0]
    assert command.returncode == 130 and "cancelled what finished is kept" in said, said
    print(kept)
    assert all(reached <= saved < STEPS for reached, saved in kept.values()), kept
