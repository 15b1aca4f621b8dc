"""What a reasoning model thinks before it answers, told apart from the answer: only what follows the thought is judged.

The tags are those of the models of the time: ``<think>…</think>`` (DeepSeek, Qwen and many others), ``<thinking>``, ``<thought>``, ``<reasoning>``,
``[THINK]…[/THINK]`` (Mistral), ``<|START_THINKING|>`` (Cohere), ``<|channel>thought`` (Gemma), ``<|inner_prefix|>`` (Apertus),
``◁think▷`` (Kimi), ``<seed:think>``, ``<|channel|>analysis … <|channel|>final`` (gpt-oss), and what is left of the last where
control tokens were taken out. Others are named by :class:`ThoughtTags`.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

_NAMES = (
    r"(?:think|thinking|thought|thoughts|reasoning|reflection|seed:think|longcat_think|reason|rationale|scratchpad|"
    r"think(?:ing)?_process|thought_process|chain_of_thought|inner_monologue)"
)
_OPENINGS = (
    rf"<\s*{_NAMES}(?:\s+[\w-]+=[^<>]*)?\s*>",
    r"<\|START_THINKING\|>",
    r"<\|inner_prefix\|>",
    r"<\|channel>\s*thought\b",
    r"(?-i:\[THINK\])",
    r"◁think▷",
    r"<\|begin_of_thought\|>",
    r"<\|channel\|>\s*(?:analysis|commentary)\b(?:[^<\n]*<\|message\|>)?",
    r"\Aanalysis(?=.*assistantfinal)",
)
_CLOSINGS = (
    rf"<\s*/\s*{_NAMES}\s*>",
    r"<\|END_THINKING\|>",
    r"<\|inner_suffix\|>",
    r"<channel\|>",
    r"(?-i:\[/THINK\])",
    r"◁/think▷",
    r"<\|end_of_thought\|>",
    r"(?:<\|start\|>assistant)?<\|channel\|>\s*final\b(?:[^<\n]*<\|message\|>)?",
    r"assistantfinal",
)
_ENDS = re.compile(r"<\|(?:end|return|start)\|>(?:assistant\b)?")
"""What stands between the messages of gpt-oss."""
_AROUND = re.compile(
    r"\A\s*(?:<answer>|<\|begin_of_solution\|>|<\|START_RESPONSE\|>)(.*?)(?:</answer>|<\|end_of_solution\|>|<\|END_RESPONSE\|>)?\s*\Z",
    re.IGNORECASE | re.DOTALL,
)
"""What some models put around the answer that follows a thought."""
_MAY_HOLD = re.compile(r"[<\[◁]|assistantfinal")
"""Text without any of these holds no known tag."""


class ThoughtTags(BaseModel):
    """How a model marks its thought, where that is in none of the usual ways."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    open: str = Field(min_length=1, description="What begins a thought, e.g. `<scratchpad>`.")
    close: str = Field(min_length=1, description="What ends it and begins the answer, e.g. `</scratchpad>`.")
    begun: bool = Field(
        default=False,
        description="Whether every answer begins inside a thought: for a server whose template opens it. Of a local model's template this is seen.",
    )


@dataclass(frozen=True, slots=True)
class Told:
    """What a model said, in two parts."""

    reasoning: str | None
    """The thought without its tags, empty where nothing stands between them; None where there is none."""
    answer: str
    """What follows the thought; empty where the thought does not end."""


def split_thought(text: str, tags: ThoughtTags | None = None, *, begun: bool | None = None) -> Told:
    """The thought and the answer of what a model said.

    The answer is what follows the last closing tag; all before it is thought, whether it was opened here or in the prompt. A thought that is opened and
    not closed has no answer. A tag in backticks is spoken of, not used.

    Args:
        text: What the model said.
        tags: Further tags.
        begun: Whether the prompt opened the thought; None: as the tags say.

    Returns:
        Text without thought as it is.
    """
    border = answer_begins(text, tags, begun=begun)
    if border is None:
        return Told(None, text)
    opening, closing = _patterns(tags.open if tags else None, tags.close if tags else None)
    found = sorted([*opening.finditer(text), *closing.finditer(text)], key=lambda match: -match.start())
    thought, answer = text[:border], text[border:]
    for match in found:
        if match.end() <= border:
            thought = f"{thought[: match.start()]}\n{thought[match.end() :]}"
    if "<|" in text:
        thought, answer = _ENDS.sub("\n", thought), _ENDS.sub("", answer)
    return Told(thought.strip(), _AROUND.sub(r"\1", answer).strip())


def answer_begins(text: str, tags: ThoughtTags | None = None, *, begun: bool | None = None) -> int | None:
    """Where the answer begins: at the end of the text where a thought does not end, None where there is no thought. Arguments as above."""
    begun = tags is not None and tags.begun if begun is None else begun
    if tags is None and not begun and not _MAY_HOLD.search(text):
        return None
    opening, closing = _patterns(tags.open if tags else None, tags.close if tags else None)
    start = max((match.end() for match in opening.finditer(text)), default=0 if begun else None)
    end = max((match.end() for match in closing.finditer(text)), default=None)
    if end is None:
        return None if start is None else len(text)
    return end if start is None or start <= end else len(text)


def joined(*thoughts: str | None) -> str | None:
    """Thoughts of one answer, told apart in several ways, as one; None where there is none."""
    there = [thought for thought in thoughts if thought is not None]
    return "\n".join(filter(None, there)) if there else None


def answer_of(text: str) -> str:
    """What follows the thought of a text."""
    return split_thought(text).answer


def open_thought(prompt: str, tags: ThoughtTags | None = None) -> str | None:
    """The closing tag of the thought that a prompt ends in, as many chat templates do; None where it ends in none."""
    opening, _ = _patterns(tags.open if tags else None, tags.close if tags else None)
    last = next(reversed(list(opening.finditer(prompt))), None)
    if last is None or prompt[last.end() :].strip():
        return None
    tag = last[0].strip()
    if tags is not None and tag == tags.open:
        return tags.close
    if tag[0] in "<[◁" and "|" not in tag:
        return f"{tag[0]}/{tag[1:]}"
    for opens, closes in (("begin", "end"), ("START", "END"), ("prefix", "suffix")):
        tag = tag.replace(opens, closes)
    return tag


@functools.lru_cache(maxsize=16)
def _patterns(open_tag: str | None, close_tag: str | None) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What matches an opening and what matches a closing tag."""
    openings = [*_OPENINGS, *([re.escape(open_tag)] if open_tag else [])]
    closings = [*_CLOSINGS, *([re.escape(close_tag)] if close_tag else [])]
    return _any_of(openings), _any_of(closings)


def _any_of(tags: list[str]) -> re.Pattern[str]:
    one = "|".join(tags)
    return re.compile(rf"(?<!`)(?:{one})|(?:{one})(?!`)", re.IGNORECASE | re.DOTALL)
