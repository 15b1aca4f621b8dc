"""What tokens cost, by a file of the user's: prices change, so none are built in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.errors import UserError
from valuedrift.servers.chat import Request
from valuedrift.servers.server import Budget, Server
from valuedrift.yaml_files import read_yaml

_MILLION = 1_000_000
_Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    input: _Dollars
    output: _Dollars


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars of one token."""

    prompt: float = 0.0
    answer: float = 0.0

    def of(self, prompt_tokens: int, answer_tokens: int) -> float:
        """US dollars of a request."""
        return prompt_tokens * self.prompt + answer_tokens * self.answer


def price_of(model: str, budget: Budget | None) -> Price:
    """The price of a model's tokens; nothing where no price file is named.

    Raises:
        UserError: The file is missing, is not what it should be, or lacks the model.
    """
    if budget is None or budget.prices is None:
        return Price()
    lines = _read(Path(budget.prices))
    if model not in lines:
        near = get_close_matches(model, lines, n=1)
        fix = f"add a line for it{f'; near it there is {near[0]}' if near else ''}"
        raise UserError(f"no price of model {model!r}", where=budget.prices, fix=fix)
    return Price(lines[model].input / _MILLION, lines[model].output / _MILLION)


def _read(path: Path) -> Mapping[str, _Line]:
    form = "{MODEL: {input: USD, output: USD}}, each for a million tokens"
    try:
        written = read_yaml(path)  # YAML holds JSON too
    except OSError as error:
        raise UserError(
            f"cannot read the price file: {error.strerror or error}", where=str(path), fix=f"a YAML or JSON file: {form}"
        ) from error
    except UserError as error:
        raise UserError(f"the price file is neither YAML nor JSON that can be read: {error.what}", where=error.where, fix=form) from error
    try:
        lines: Mapping[str, _Line] = written.valid(dict[str, _Line])
    except UserError as error:
        raise UserError(f"the price file is not in its form: {error.what}", where=error.where, fix=form) from error
    return lines


@dataclass(frozen=True, slots=True)
class AskingCost:
    """Requests, tokens and money of what a server will be asked, before anything is asked."""

    requests: int
    """At most: what is equal is asked once."""
    tokens: int
    """Of prompts and answers together, about; every answer as long as it may be."""
    usd: float | None
    """None where no price file is named."""
    budget: Budget | None
    """What may be spent."""

    def words(self) -> str:
        """For people."""
        money = "" if self.usd is None else f", about ${self.usd:.2f}"
        return f"{self.requests:,} requests at most, about {self.tokens:.2g} tokens{money}"

    def warnings(self) -> list[str]:
        """Where the budget may not be enough."""
        budget, short = self.budget, []
        if budget and budget.tokens is not None and self.tokens > budget.tokens:
            short.append(f"its budget of {budget.tokens:,} tokens may not be enough")
        if budget and budget.usd is not None and self.usd is not None and self.usd > budget.usd:
            short.append(f"its budget of ${budget.usd:.2f} may not be enough")
        return short


def asking_cost(server: Server, requests: Sequence[Request], times: int = 1) -> AskingCost:
    """Estimate what some requests take.

    Args:
        server: Who is asked; its price file lies on this machine.
        requests: What is asked.
        times: How often requests like these are made.

    Raises:
        UserError: The price file is missing or lacks the model.
    """
    tokens = times * sum(request.likely_tokens for request in requests)
    replied = times * sum(request.most_answer_tokens for request in requests)
    priced = server.budget is not None and server.budget.prices is not None
    usd = price_of(server.model, server.budget).of(tokens - replied, replied) if priced else None
    return AskingCost(times * len(requests), tokens, usd, server.budget)
