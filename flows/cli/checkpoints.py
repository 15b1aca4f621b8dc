"""``valuedrift checkpoints``: where the weights of a study's trainings lie, what still needs them, and to delete them or bring them here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from valuedrift.flows.cli.app import JsonOption, RootOption, app, print_json, resolve_root
from valuedrift.flows.cli.console import make_console
from valuedrift.words import counted, size

if TYPE_CHECKING:
    from valuedrift.storage.weights_store import Lying, Place
    from valuedrift.tasks.retention import Held
    from valuedrift.tasks.study_work import StudyWork

checkpoints_app = typer.Typer(
    help="Weights of trainings: where they lie, what needs them, deleting and fetching them.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(checkpoints_app, name="checkpoints")

StudyArgument = Annotated[str, typer.Argument(help="Study file, local or s3://, e.g. deployments/studies/demo.yaml.", show_default=False)]


class KeepRule(StrEnum):
    """What may be given to `--keep`."""

    ALL = "all"
    LAST = "last"
    ADAPTERS = "adapters"
    NONE = "none"


@dataclass(frozen=True)
class _Weights:
    """What is known of a study's weights: its checkpoints, and where they lie."""

    work: StudyWork
    held: Sequence[Held]
    lying: dict[Place, Lying]


@checkpoints_app.command("list")
def list_(study: StudyArgument, root: RootOption = None, as_json: JsonOption = False) -> None:
    """Show every checkpoint of the trainings that are done: its size, where its weights lie, and what still needs them."""
    from valuedrift.flows.cli.query_output import as_table

    found = _look(study, root)
    rows = [_row(found, one) for one in found.held]
    if as_json:
        print_json(rows)
        return
    if not rows:
        elsewhere = "; the checkpoints of its series lie where something else wrote them" if found.work.study.series else ""
        typer.echo(f"nothing is trained here yet{elsewhere}")
        return
    shown = ((row["run_id"], row["step"], _size(row["bytes"]), row["where"], _first(row["needed_by"])) for row in rows)
    for line in as_table(
        ("run", "step", "size", "where", "needed by"), ("VARCHAR", "BIGINT", "VARCHAR", "VARCHAR", "VARCHAR"), shown, limit=0
    ):
        typer.echo(line)
    here, there = (sum(getattr(one, side) or 0 for one in _own(found)) for side in ("here", "bucket"))
    typer.echo(f"{size(here)} here" + (f", {size(there)} in the bucket" if found.work.weights.store.is_remote else ""))


@checkpoints_app.command()
def prune(
    study: StudyArgument,
    keep: Annotated[
        KeepRule | None, typer.Option(help="What stays; default: runtime.checkpoints.keep of the study.", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it only what would go is told.")] = False,
    root: RootOption = None,
) -> None:
    """Tell which weights are not kept and not needed by any stage or study, and with `--yes` delete them, here and in the bucket. Tables stay whole."""
    from valuedrift.tasks.retention import delete, to_delete

    found = _look(study, root)
    rule = keep.value if keep is not None else found.work.runtime.checkpoints.keep
    going = {place for place in to_delete(rule, found.held) if place in found.lying}
    freed = sum(max(found.lying[place].here or 0, found.lying[place].bucket or 0) for place in going)
    console = make_console()
    for one in found.held:
        if one.places and one.places[-1] in going and one.step:
            console.print(f"{escape(one.run_id)} step {one.step}: {size(_bytes(found, one) or 0)}", highlight=False, soft_wrap=True)
    if not going:
        why = "" if rule != "all" else "; give another rule: `--keep last`, `adapters` or `none`"
        console.print(f"nothing to delete (keep: {rule}){why}", highlight=False)
    elif yes:
        freed = delete(found.work, going, f"keep: {rule}")
        console.print(f"freed {size(freed)}: {counted(len(going), 'checkpoint')} (keep: {rule})", highlight=False)
    else:
        console.print(f"{counted(len(going), 'checkpoint')}, {size(freed)} (keep: {rule}); delete them: add --yes", highlight=False)


@checkpoints_app.command()
def fetch(
    study: StudyArgument,
    run: Annotated[str | None, typer.Option(help="Of one run. Default: all.", show_default=False)] = None,
    step: Annotated[int | None, typer.Option(help="One step. Default: all.", min=0, show_default=False)] = None,
    root: RootOption = None,
) -> None:
    """Bring weights here from the bucket, compared with what was sent, and tell their folders."""
    from valuedrift.errors import UserError

    found = _look(study, root)
    wanted = [one for one in found.held if run in (None, one.run_id) and step in (None, one.step) and one.places]
    if not wanted:
        runs = sorted({one.run_id for one in found.held})
        raise UserError(
            "no such checkpoint was trained here",
            where=" ".join(f"{option} {given}" for option, given in (("--run", run), ("--step", step)) if given is not None),
            fix=f"runs are {', '.join(runs) or 'not trained yet'}",
        )
    gone = [one for one in wanted if not all(place in found.lying for place in one.places)]
    if gone and (run is not None or step is not None):
        why = found.work.weights.store.why_deleted(gone[0].places[-1].key)
        raise UserError(
            f"the weights of {gone[0].run_id} step {gone[0].step} are not here and not in the bucket",
            where=why and f"deleted: {why}",
            fix="the run that needs them trains the phase again",
        )
    for one in wanted:
        if one not in gone:
            paths = [found.work.weights.store.bring(place) for place in one.places]
            typer.echo(f"{one.run_id} step {one.step}: {' + '.join(map(str, paths))}")


def _look(study: str, root: str | None) -> _Weights:
    from valuedrift.tasks.retention import done_of, held_by, told_by_others
    from valuedrift.tasks.sources import study_of
    from valuedrift.tasks.stages.registry import stages_of
    from valuedrift.tasks.stages.train import checkpoints_of
    from valuedrift.tasks.study_work import StudyWork

    work = StudyWork(study_of(study), resolve_root(root))
    work.store.readable()
    stages = stages_of(work)
    held = held_by(stages, done_of(work, stages), lambda trained: checkpoints_of(work, trained), told_by_others(work, work.name))
    return _Weights(work, held, work.weights.store.lying())


def _row(found: _Weights, one: Held) -> dict[str, Any]:
    return {
        "run_id": one.run_id,
        "step": one.step,
        "bytes": _bytes(found, one),
        "where": _where(found, one),
        "needed_by": list(one.needed_by),
    }


def _where(found: _Weights, one: Held) -> str:
    if not one.places:
        return "name"
    lying = found.lying.get(one.places[-1])
    if lying is None:
        return "pruned" if found.work.weights.store.why_deleted(one.places[-1].key) else "gone"
    return " and ".join(name for name, there in (("here", lying.here), ("bucket", lying.bucket)) if there is not None)


def _bytes(found: _Weights, one: Held) -> int | None:
    """Bytes of the folder that is the checkpoint's own; those of what it lies on belong to the run that made it."""
    lying = found.lying.get(one.places[-1]) if one.places else None
    return None if lying is None else max(lying.here or 0, lying.bucket or 0)


def _own(found: _Weights) -> list[Lying]:
    return [found.lying[place] for place in {place for one in found.held for place in one.places} if place in found.lying]


def _size(found: int | None) -> str:
    return "" if found is None else size(found)


def _first(labels: Sequence[str]) -> str:
    return "" if not labels else labels[0] + (f" and {len(labels) - 1} more" if len(labels) > 1 else "")
