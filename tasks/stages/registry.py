"""The kinds of stages, and the one list of a study's stages that is made of them.

    probes    train ──▶ sample ──▶ judge ──▶ analyze ──▶ (correct, where people labelled answers) ──▶ conclude ──▶ report
              train (preference) ──▶ …       audit of what the runs train on
              adopt (checkpoints that something else trained, or a server has) ──▶ sample …      judge ──▶ look (alerts, at every checkpoint)
              train, judge, audit ──▶ attribute (which rows did it, where the study asks)
    train ──▶ capability ──▶ compare ──▶ report (where the study names tasks)
              analyze, look, train ──▶ track (TensorBoard and others, where the runtime names some)

A kind of stage is one file and one entry in the list below. Where it needs the stages of another kind it finds them in the list so far, so that a kind stands
behind those that it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Protocol

from valuedrift.errors import UserError
from valuedrift.results.facts import ANALYSED, CASCADES, CONCLUDED, CORRECTED, SEEDED
from valuedrift.storage.schemas import register
from valuedrift.storage.schemas.table import TableSchema
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.stages import (
    adopt,
    analyze,
    attribute,
    audit,
    capability,
    cascade,
    conclude,
    correct,
    judge,
    look,
    probes,
    report,
    sample,
    track,
    train,
)
from valuedrift.tasks.stages.choose import choose
from valuedrift.tasks.study_work import StudyWork


class Build(Protocol):
    """Yields the stages of one kind."""

    def __call__(self, work: StudyWork, listed: Sequence[Stage], /) -> Iterable[Stage]:
        """The stages of a study.

        Args:
            work: The study and where it works.
            listed: The stages of the kinds before.
        """


@dataclass(frozen=True)
class Kind:
    """A kind of stage.

    Attributes:
        name: What `Stage.name` says.
        stages: Yields its stages of a study.
        done: What status calls those that are done.
        tables: Names of the tables that they write.
    """

    name: str
    stages: Build
    done: str
    tables: tuple[str, ...] = ()


_KINDS: list[Kind] = [
    Kind("probes", probes.stages, "kept", probes.TABLES),
    Kind("train", train.stages, "trained", train.TABLES),
    Kind("adopt", adopt.stages, "adopted", adopt.TABLES),
    Kind("sample", sample.stages, "sampled", sample.TABLES),
    Kind("judge", judge.stages, "judged", (*judge.TABLES, cascade.KEPT, cascade.SAMPLE)),
    Kind("look", look.stages, "looked at", look.TABLES),
    Kind("capability", capability.stages, "tested", capability.TABLES),
    Kind("compare", capability.comparisons, "compared", (capability.CHANGES,)),
    Kind("audit", audit.stages, "audited", audit.TABLES),
    Kind("attribute", attribute.stages, "attributed", attribute.TABLES),
    Kind("analyze", analyze.stages, "analyzed", (*CASCADES, *SEEDED, *ANALYSED)),
    Kind("correct", correct.stages, "corrected", CORRECTED),
    Kind("conclude", conclude.stages, "concluded", CONCLUDED),
    Kind("report", report.stages, "written"),
    Kind("track", track.stages, "told"),
]


@cache
def _enter_installed() -> None:
    """Let installed packages enter kinds of their own: entry points of the group ``valuedrift.stages`` name the modules that do."""
    for module in entry_points(group="valuedrift.stages"):
        try:
            module.load()
        except (ImportError, AttributeError, ValueError) as error:
            where = f"{module.dist.name if module.dist else 'an installed package'}, entry point {module.name} = {module.value}"
            raise UserError(f"cannot be entered: {error}", where=where, fix="mend the package, or uninstall it") from error


def kinds() -> Sequence[Kind]:
    """All kinds, each behind those that it needs."""
    _enter_installed()
    return tuple(_KINDS)


def enter(kind: Kind, *, after: str, tables: Sequence[TableSchema] = ()) -> None:
    """Enter a kind of stage of one's own, with the schemas of its tables; every command then knows it.

    Args:
        kind: The kind.
        after: The kind that it stands behind in the list.
        tables: Schemas of the tables that it writes.

    Raises:
        UserError: There is a kind of this name already, or none that it could stand behind.
        ValueError: There is another table of a name that it wants.
    """
    names = [one.name for one in _KINDS]
    if kind.name in names or after not in names:
        raise UserError(
            f"no place for a kind of stage {kind.name!r} after {after!r}", fix=f"kinds are {', '.join(names)}; each has one name"
        )
    for table in tables:
        register(table)
    _KINDS.insert(names.index(after) + 1, kind)


def stages_of(work: StudyWork) -> list[Stage]:
    """All stages of a study as it stands now, each behind those that it needs. The list may grow while the study runs: ask again after each stage.

    Args:
        work: The study and where it works.
    """
    choose(work)
    listed: list[Stage] = []
    for kind in kinds():
        listed.extend(kind.stages(work, tuple(listed)))
    return listed
