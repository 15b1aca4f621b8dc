"""Several judges as one in a study file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from valuedrift.fingerprint import fingerprint
from valuedrift.judges.config_base import JudgeBase
from valuedrift.judges.single_config import SingleJudge

if TYPE_CHECKING:
    from valuedrift.judges.base import Judge

VERSION = 1
"""Raised whenever the same members' judgements would be combined in another way; part of the identity."""


Member = Annotated[
    Annotated[str, Tag("name")] | Annotated[SingleJudge, Tag("judge")],
    Discriminator(lambda given: "name" if isinstance(given, str) else "judge"),
]


class Panel(JudgeBase):
    """Several judges that read the same answers, and the mean of what they say. Shows how much hangs on the judge; cancels errors that are not shared."""

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
        for kind, numbers in (("weights", self.weights), ("temperatures", self.temperatures)):
            for name, number in numbers.items():
                if name not in names:
                    raise ValueError(f"{kind}: {name!r} is no member; members: {', '.join(names)}")
                if not 0 < number < math.inf:
                    raise ValueError(f"{kind}: {name} must be above 0")
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
        from valuedrift.judges.panel import load_panel

        return load_panel(self, threads=threads, device=device, keep=keep)

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with other paths of its members; see :meth:`JudgeBase.with_paths`."""
        return self.model_copy(
            update={"members": tuple(member if isinstance(member, str) else member.with_paths(change) for member in self.members)}
        )
