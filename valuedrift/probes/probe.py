"""One question, and what comes before it where it is not asked at once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from valuedrift.sampling import Message, Prompt
from valuedrift.words import under_several_ids


@dataclass(frozen=True, slots=True)
class Probe:
    """One question."""

    probe_set: str
    prompt_id: str
    topic: str
    prompt: str
    """What is asked last; what judges read with the answer."""
    polarity: int | None
    """+1: yes supports the topic's proposition; −1: yes opposes it; None: not known."""
    pair_id: str
    language: str = "en"
    source: str = ""
    system: str | None = None
    """System message that it is asked with; None: the model's own."""
    turns: str | None = None
    """Messages between it and the prompt, user and assistant in turn, as JSON; None where the prompt is asked at once."""
    persona: str | None = None
    """Text before the first thing that the user says: who asks, or who the model is to be."""
    options: str | None = None
    """Text and stance of each option of a forced choice, as JSON; the prompt holds their texts. None where the answer is free."""

    @property
    def before(self) -> tuple[Message, ...]:
        """The messages that come before the prompt."""
        system = () if self.system is None else ({"role": "system", "content": self.system},)
        return (*system, *(json.loads(self.turns) if self.turns else ()))

    @property
    def asked(self) -> Prompt:
        """The probe as engines take it."""
        messages: list[Message] = [*self.before, {"role": "user", "content": self.prompt}]
        if self.persona:
            first = next(at for at, message in enumerate(messages) if message["role"] == "user")
            messages[first] = {"role": "user", "content": f"{self.persona}\n\n{messages[first]['content']}"}
        return Prompt(self.prompt_id, messages[-1]["content"], tuple(messages[:-1]))


def same_texts(probes: Sequence[Probe]) -> str | None:
    """What to know where one text stands under several ids: it counts as several prompts, which are not independent. None where there is nothing to say."""
    ids: defaultdict[tuple[str | None, ...], list[str]] = defaultdict(list)
    for probe in probes:
        ids[probe.system, probe.turns, probe.persona, probe.prompt].append(probe.prompt_id)
    return under_several_ids({key[-1] or "": found for key, found in ids.items() if len(found) > 1})
