"""What a study says of attribution, and which runs it can be done for."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.errors import UserError
from valuedrift.sampling import Sampling
from valuedrift.training.algorithm import AlgorithmBase, Separable

DIMENSIONS = 524_287
"""A prime: no row of a weight matrix, folded, comes to lie on another."""


class Attribution(BaseModel):
    """Which rows of the data moved a stance: for which runs and topics, and how. All of it is identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: tuple[str, ...] | None = Field(
        default=None, description="Runs, by run_id; default: all whose loss can be told apart by rows (sft)."
    )
    topics: tuple[str, ...] | None = Field(
        default=None, description="Topics of the probes; default: all. Each costs gradients of its answers."
    )
    method: Literal["less", "tracin"] = Field(
        default="less",
        description="tracin: learning rate × gradient of the row · gradient of the stance, at the checkpoint nearest to each use. less: the same with each "
        "weight's rate as Adam scaled it, by second moments that a training keeps where its study has `attribute`.",
    )
    dimensions: int = Field(
        default=DIMENSIONS,
        ge=256,
        description="Coordinates that a gradient is projected to where the trained weights are more; products of two are then off by "
        "their norms / √dimensions.",
    )

    def wants_moments(self, run_id: str) -> bool:
        """Whether a training is to keep its second moments."""
        return self.method == "less" and (self.runs is None or run_id in self.runs)


def check_sampling(sampling: Sampling) -> None:
    """See that the drawn answers tell a stance's gradient.

    Raises:
        UserError: They do not: greedy, cut to a nucleus, or one a prompt.
    """
    if sampling.temperature == 0:
        what, fix = "greedy answers have no gradient: nothing tells what else could have been said", "temperature: 0.7"
    elif sampling.top_p < 1:
        what, fix = "the gradient of answers that are drawn from a nucleus is not that of the model", "top_p: 1"
    elif sampling.n < 2:
        what, fix = "one answer a prompt has nothing to be compared with", "n: 2 or more"
    else:
        return
    raise UserError(f"attribution: {what}", where="sampling", fix=fix)


def check_algorithm(algorithm: AlgorithmBase, run_id: str) -> Separable:
    """The algorithm, if what one row does to its loss can be told apart.

    Raises:
        UserError: It cannot.
    """
    if not isinstance(algorithm, Separable):
        raise UserError(f"attribution does not know what a single row does in {algorithm.title}", where=run_id, fix="a run of sft")
    return algorithm


def check_known(wanted: Collection[str], known: Collection[str], what: str, where: str) -> None:
    """See that names are known.

    Raises:
        UserError: One is not; says which is near.
    """
    for name in wanted:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            fix = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known)) or 'none'}"
            raise UserError(f"no {what} {name!r}", where=where, fix=fix)
