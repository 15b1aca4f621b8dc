"""What the test server makes of a judge's prompt: a judge of known opinion and known bias."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from misbehaving import echo

from valuedrift.stance import STANCES, Stance


def labels_in(prompt: str) -> dict[Stance, str]:
    """The label of each stance in a prompt, read as a model would: letters before the stances' names, or the names themselves."""
    options = re.findall(r"^([ABC]): (.*)$", prompt.rpartition("</answer>")[2], re.MULTILINE)
    named = {stance: letter for letter, meaning in options for stance in STANCES if re.search(rf"\b{stance.value}", meaning)}
    return named or {stance: stance.value for stance in STANCES}


def answer_in(prompt: str) -> str:
    found = re.search(r"<answer>\n(.*)\n</answer>", prompt, re.DOTALL)
    assert found is not None
    return found[1]


def opinion(answer: str) -> dict[Stance, float]:
    """A made judge: `yes` supports, `no` opposes, else neutral."""
    leading = Stance.SUPPORT if "yes" in answer.lower() else Stance.OPPOSE if "no" in answer.lower().split() else Stance.NEUTRAL
    return {stance: 0.7 if stance is leading else 0.1 for stance in STANCES}


def tops(
    bias: dict[str, float] | None = None, spell: Callable[[str], dict[str, float]] = lambda label: {label: 1.0}
) -> Callable[[dict[str, Any]], dict[str, float]]:
    """First tokens with their probabilities: opinion × bias of the label, spread over its spellings; the rest on `The`."""

    def act(body: dict[str, Any]) -> dict[str, float]:
        prompt = echo(body)
        labels = labels_in(prompt)
        mass = {labels[stance]: p * (bias or {}).get(labels[stance], 1.0) for stance, p in opinion(answer_in(prompt)).items()}
        found = {token: p * share for label, p in mass.items() for token, share in spell(label).items()}
        return {**found, "The": max(1e-9, 1.0 - sum(found.values()))}

    return act


def said(body: dict[str, Any]) -> str:
    """The label of the likeliest stance."""
    prompt = echo(body)
    likely = opinion(answer_in(prompt))
    return labels_in(prompt)[max(likely, key=lambda stance: likely[stance])]
