"""Several judges as one: what they say of an answer, averaged over those that have a stance for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.judges.base import Configured, Judge, JudgeBase, Judgement, Pair, remarks_of
from valuedrift.judges.calibrated import LEAST_T, MOST_T, ReadingJudge
from valuedrift.judges.registry import SingleJudge
from valuedrift.progress import Progress
from valuedrift.stance import STANCE_COLUMNS, JudgeStatus

if TYPE_CHECKING:
    import polars as pl

VERSION = 1
"""Raised whenever the same members' judgements would be combined in another way; part of the identity."""
_MOST_WEIGHT = 1e6
"""Of a member; one beside which another is nothing at all is no panel, and far beyond it numbers overflow."""
_MEANS = (*STANCE_COLUMNS, "unassigned")
_RANK = {JudgeStatus.OK: 0, JudgeStatus.REFUSED: 1, JudgeStatus.UNPARSED: 2, JudgeStatus.FAILED: 3}
"""Of two statuses that equally many members gave, the first."""

Member = Annotated[
    Annotated[str, Tag("name")] | Annotated[SingleJudge, Tag("judge")],
    Discriminator(lambda given: "name" if isinstance(given, str) else "judge"),
]


class Panel(JudgeBase):
    """The mean of several judges that read the same answers: shows how much hangs on the judge, and cancels errors that are not shared."""

    when = "a conclusion hangs on the judge: see how much"

    type: Literal["panel"] = Field(default="panel", description="Kind of judge.")
    name: str = Field(default="panel", min_length=1, description="Name of the judge in every table.")
    members: tuple[Member, ...] = Field(
        description="Two or more. In a study: names of its other judges, whose stances are used again. In a file of its own: whole judges."
    )
    how: Literal["mean", "calibrated"] = Field(
        default="mean",
        description="`mean`: weighted mean of the members' stance distributions, over those that have one; "
        "`calibrated`: the same after each was brought to its temperature (`valuedrift judge fit-panel` finds both numbers).",
    )
    weights: dict[str, float] = Field(default_factory=dict, description="Weight of a member by name, above 0; 1 where none is given.")

    temperatures: dict[str, float] = Field(
        default_factory=dict,
        description="Temperature of every member by name, above 0, where `how` is calibrated: its log-probabilities are divided by it.",
    )

    @model_validator(mode="after")
    def _members_once(self) -> Self:
        names = self.names
        if 0 < len(self.judged_from) < len(names):
            raise ValueError("members are either names of judges of the study or whole judges, not both")
        if len(names) < 2:
            raise ValueError("a panel has two members or more")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two members named {twice!r}; give each a `name` of its own")
        for kind, numbers, least, most in (
            ("weights", self.weights, 1 / _MOST_WEIGHT, _MOST_WEIGHT),
            ("temperatures", self.temperatures, LEAST_T, MOST_T),
        ):
            for name, number in numbers.items():
                if name not in names:
                    raise ValueError(f"{kind}: {name!r} is no member; members: {', '.join(names)}")
                if not least <= number <= most:
                    raise ValueError(f"{kind}: {name} must lie between {least:g} and {most:,.0f}, not {number:g}")
        if self.how == "mean" and self.temperatures:
            raise ValueError("temperatures are for `how: calibrated`")
        without = [name for name in names if name not in self.temperatures]
        if self.how == "calibrated" and without:
            raise ValueError(f"how: calibrated needs a temperature of every member; {without[0]!r} has none")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the members, in their order."""
        return tuple(member if isinstance(member, str) else member.name for member in self.members)

    def weights_of_members(self) -> tuple[float, ...]:
        """Weights in the order of the members."""
        return tuple(self.weights.get(name, 1.0) for name in self.names)

    def temperatures_of_members(self) -> tuple[float, ...]:
        """Temperatures in the order of the members; 1 leaves a distribution as it is."""
        return tuple(self.temperatures.get(name, 1.0) for name in self.names)

    @property
    def judged_from(self) -> tuple[str, ...]:
        """See :attr:`JudgeBase.judged_from`."""
        return tuple(member for member in self.members if isinstance(member, str))

    @property
    def made_of(self) -> tuple[JudgeBase, ...]:
        """See :attr:`JudgeBase.made_of`."""
        return tuple(member for member in self.members if isinstance(member, JudgeBase))

    def check(self) -> None:
        """See :meth:`JudgeBase.check`."""
        _check_whole(self)
        for member in self.made_of:
            member.check()

    def identity(self) -> dict[str, Any]:
        """What the members are, in any order, with their weights, and how they are combined; members that are only named by their names."""
        return self.combined([member if isinstance(member, str) else member.identity() for member in self.members])

    def combined(self, members: Sequence[Any]) -> dict[str, Any]:
        """Identity over what stands for each member.

        Args:
            members: JSON-able values, one a member and in their order: identities, or keys of the stances that are combined.
        """
        numbers = zip(members, self.weights_of_members(), self.temperatures_of_members(), strict=True)
        weighed = sorted(([member, weight, temperature] for member, weight, temperature in numbers), key=fingerprint)
        return {"type": self.type, "version": VERSION, "how": self.how, "members": weighed}

    def load(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        """The panel; its members are loaded when they judge, one after the other."""
        return load_panel(self, threads=threads, device=device, keep=keep)

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with other paths of its members; see :meth:`JudgeBase.with_paths`."""
        return self.model_copy(
            update={"members": tuple(member if isinstance(member, str) else member.with_paths(change) for member in self.members)}
        )


def combine(members: Sequence[pl.DataFrame], weights: Sequence[float], temperatures: Sequence[float] | None = None) -> pl.DataFrame:
    """The panel's judgements.

    An answer's distribution is the weighted mean over the members that have one for it. Where none has, the answer has the status that most members gave.

    Args:
        members: One frame a member, rows alike: p_support, p_neutral, p_oppose, unassigned, status (as ``judgements_frame`` makes them).
        weights: One a member, above 0.
        temperatures: One a member, above 0: its log-probabilities are divided by it before the mean; None leaves them as they are.

    Returns:
        A frame of the same columns, and ``n_members``: members with a stance.
    """
    import polars as pl

    brought = [_at_temperature(frame, one) for frame, one in zip(members, temperatures or [1.0] * len(members), strict=True)]
    named = [frame.select(pl.col(*_MEANS, "status").name.suffix(f"@{at}")) for at, frame in enumerate(brought)]
    wide = pl.concat(named, how="horizontal") if named else pl.DataFrame()
    places = range(len(members))
    ok = [pl.col(f"status@{at}") == JudgeStatus.OK.value for at in places]
    mass = pl.sum_horizontal(pl.when(ok[at]).then(weights[at]).otherwise(0.0) for at in places)
    wide = wide.with_columns(n_members=pl.sum_horizontal(one.cast(pl.Int32) for one in ok), mass=mass)

    def mean(name: str) -> pl.Expr:
        total = pl.sum_horizontal(pl.when(ok[at]).then(weights[at] * pl.col(f"{name}@{at}")).otherwise(0.0) for at in places)
        return pl.when(pl.col("n_members") > 0).then(total / pl.col("mass")).alias(name)

    statuses = wide.select(pl.concat_list(pl.col(f"status@{at}") for at in places).alias("all")).get_column("all").to_list()
    status = pl.Series("status", [_status(given) for given in statuses], dtype=pl.String)
    return wide.select(*(mean(name) for name in _MEANS), "n_members").insert_column(len(_MEANS), status)


def _at_temperature(frame: pl.DataFrame, temperature: float) -> pl.DataFrame:
    """A member's judgements at a temperature."""
    import polars as pl

    if temperature == 1.0:
        return frame
    powered = frame.with_columns(pl.col(STANCE_COLUMNS) ** (1.0 / temperature))
    return powered.with_columns(pl.col(STANCE_COLUMNS) / pl.sum_horizontal(STANCE_COLUMNS))


def _status(given: Sequence[str]) -> str:
    if JudgeStatus.OK.value in given:
        return JudgeStatus.OK.value
    return min(given, key=lambda status: (-given.count(status), _RANK[JudgeStatus(status)]))


def lacking(combined: pl.DataFrame, members: int) -> int:
    """Answers whose mean rests on some members only."""
    import polars as pl

    return combined.filter((pl.col("n_members") > 0) & (pl.col("n_members") < members)).height


class PanelJudge(Configured[Panel]):
    """Lets its members judge, one after the other, and combines them; made by :func:`load_panel`.

    Args:
        config: The panel as its file names it, with whole members.
        load: Loads a member; called when its turn comes, so that only one lies in memory.
    """

    def __init__(self, config: Panel, load: Callable[[Any], Judge]) -> None:
        super().__init__(config)
        self._load = load
        self._remarks: list[str] = []

    def remarks(self) -> list[str]:
        """How far the members agree, what rests on some of them only, and what they say themselves."""
        return list(self._remarks)

    def judge(self, pairs: Sequence[Pair], progress: Callable[[Progress], None] | None = None) -> list[Judgement]:
        """Judge pairs; see :class:`valuedrift.judges.base.Judge`."""
        from valuedrift.judges.frames import judgements_of

        said: list[str] = []
        frames = _judged_by_each(self._config, self._load, pairs, progress, said)
        combined = combine(frames, self._config.weights_of_members(), self._config.temperatures_of_members())
        self._remarks = [*said, *self._agreement_remarks(pairs, frames, combined)]
        return judgements_of(combined)

    def _agreement_remarks(self, pairs: Sequence[Pair], frames: Sequence[pl.DataFrame], combined: pl.DataFrame) -> list[str]:
        import polars as pl

        from valuedrift.judges.quality.agreement import agreement
        from valuedrift.statistics.agreement import agreement_words

        keys = pl.DataFrame(
            {"row": range(len(pairs)), "prompt": [pair.prompt for pair in pairs]}, schema={"row": pl.Int64, "prompt": pl.String}
        )
        stances = pl.concat(
            pl.concat([keys, frame], how="horizontal").with_columns(judge=pl.lit(name))
            for name, frame in zip(self._config.names, frames, strict=True)
        )
        agreed = agreement(stances, self._config.names, answer=("row",), prompt=("prompt",))
        some = lacking(combined, len(frames))
        return [
            *agreement_words(agreed),
            *([f"{some} answers rest on some members only: the others have no stance for them"] if some else []),
        ]


def judge_by_each(
    config: Panel, pairs: Sequence[Pair], progress: Callable[[Progress], None] | None = None, *, threads: int | None = None
) -> list[pl.DataFrame]:
    """What each member of a panel says, not combined.

    Args:
        config: The panel, with whole members.
        pairs: What to judge.
        progress: Told how many judgements are done, of all members together.
        threads: CPU threads of this process; None leaves torch's setting.

    Returns:
        One frame a member, as ``judgements_frame`` makes them.

    Raises:
        UserError: Its members are names, or one cannot be loaded.
    """
    _check_whole(config)
    return _judged_by_each(config, lambda member: member.load(threads=threads), pairs, progress, [])


def _judged_by_each(
    config: Panel, load: Callable[[Any], Judge], pairs: Sequence[Pair], progress: Callable[[Progress], None] | None, said: list[str]
) -> list[pl.DataFrame]:
    """Let the members judge, one after the other; their remarks go to ``said``."""
    from valuedrift.judges.frames import judgements_frame

    frames = []
    for at, member in enumerate(config.members):
        judge = load(member)

        def report(step: Progress, at: int = at) -> None:
            if progress is not None:
                progress(Progress(at * len(pairs) + step.done, len(config.members) * len(pairs), step.note))

        frames.append(judgements_frame(judge.judge(pairs, report)))
        said += [f"{judge.name}: {remark}" for remark in remarks_of(judge)]
    return frames


def load_panel(config: Panel, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> PanelJudge:
    """A panel whose members are whole judges.

    Args:
        config: The panel.
        threads: CPU threads of this process; None leaves torch's setting.
        device: ``cpu``, ``cuda``, or ``auto`` (a GPU if torch sees one).
        keep: Folder for what must not be asked twice.

    Raises:
        UserError: Its members are names: then it stands in a study, where their stances are used again.
    """
    _check_whole(config)
    return PanelJudge(config, lambda member: member.load(threads=threads, device=device, keep=keep))


def _check_whole(config: Panel) -> None:
    if not all(isinstance(member, ReadingJudge) for member in config.members):
        raise UserError(
            "members are names, which only a study knows",
            where=f"judge {config.name}",
            fix="give each member as a whole judge (type, name, …), or use the panel in a study",
        )
