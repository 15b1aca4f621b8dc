"""How a chat template writes a dialogue: that it leaves answers as they are, where each of them lies, and what ends it.

What is learnt of an answer is what the model is to say after the prompt that samplers put to it. So the prompt and the answer together must begin the dialogue
as the template writes it. White space is no matter, nor an empty thought that a template sets before an answer without one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from valuedrift.corpora.registry import Kind
from valuedrift.engines.prompting import PLAIN_TURNS, chat_text, excerpt
from valuedrift.errors import DataError
from valuedrift.models.control import encode, veil
from valuedrift.thoughts import open_thought
from valuedrift.tokenizer_files import TEMPLATE_DATE
from valuedrift.training.rows import Demonstration, Message, parse_row

_MARK = "\u2063answer\u2063"
_EMPTY_THOUGHT = re.compile(r"\A(?:<(\w+)></\1>|\[THINK\]\[/THINK\])")
_FIX = "another model or chat template, or data that it leaves as they are"
_SHOWN = 40


def check_rendering(tokenizer: Any, row: Mapping[str, Any], kind: Kind) -> None:
    """See that a model's chat template writes a row's answers as they are, so that they can be learnt.

    Args:
        tokenizer: The model's.
        row: In normal form (`valuedrift.corpora.normal.Row`).
        kind: What its dataset holds.

    Raises:
        UserError: The template fails on the row's messages.
        DataError: It alters an answer; says what it does.
    """
    read = parse_row(row, kind)
    answer_end(tokenizer)
    if isinstance(read, Demonstration):
        check_answer(tokenizer, read.prompt, read.response)
        if read.earlier:
            learnt_parts(tokenizer, read, [])
    else:
        check_answer(tokenizer, read.prompt, read.chosen)
        check_answer(tokenizer, read.prompt, read.rejected)


def check_answer(tokenizer: Any, prompt: Sequence[Message], answer: str) -> None:
    """See that prompt and answer begin the dialogue as the chat template writes it; without a template they always do.

    Raises:
        UserError: The template fails on these messages.
        DataError: They don't.
    """
    if not tokenizer.chat_template:
        return
    asked = _written(tokenizer, prompt, asking=True)
    fault = _fault(asked, _written(tokenizer, [*prompt, _answered(answer)], asking=False), answer)
    if fault:
        raise _refusal(tokenizer, f"{fault}, in a row that asks {excerpt(prompt[-1]['content'])}")


def answer_end(tokenizer: Any) -> list[int]:
    """Tokens that a chat template puts after an answer, and the end-of-text token, which samplers stop at.

    Raises:
        UserError: The template fails on an answer.
        DataError: It alters answers.
    """
    eos: int = tokenizer.eos_token_id
    if not tokenizer.chat_template:
        return [eos]
    end = _template_end(tokenizer)
    return end if eos in end else [*end, eos]


def learnt_parts(tokenizer: Any, row: Demonstration, last: list[int]) -> list[tuple[list[int], bool]]:
    """A conversation of which more than the last answer is learnt.

    Every learnt answer lies where samplers would put it: after the prompt that the messages before it make. Where these prompts do not begin one another (a
    template that takes thoughts out of earlier answers), a template for training that TRL knows in its place says what is learnt.

    Args:
        tokenizer: The model's.
        row: The conversation.
        last: Tokens of its last answer, with its end.

    Returns:
        Tokens, and whether they are learnt, in their order.

    Raises:
        DataError: The template alters an earlier answer, and TRL knows no template for training in its place.
    """
    row = replace(
        row,
        prompt=tuple({**turn, "content": veil(tokenizer, turn["content"])} for turn in row.prompt),
        response=veil(tokenizer, row.response),
    )
    if not tokenizer.chat_template:
        return [*_plain_parts(tokenizer, row), (last, True)]
    whole = _written(tokenizer, row.prompt, asking=True)
    end = _template_end(tokenizer)
    parts: list[tuple[list[int], bool]] = []
    done = 0
    places = [*row.earlier, len(row.prompt)]
    starts = [_written(tokenizer, row.prompt[:place], asking=True) for place in places]
    for start, following, place in zip(starts, starts[1:], places, strict=False):
        answer = row.prompt[place]["content"].strip()
        at = whole.find(answer, len(start))
        if at < 0 or not (whole.startswith(start) and whole.startswith(following) and _without_thought(whole[len(start) : at]) == ""):
            return _parts_by_trl(tokenizer, row)
        after = _tokens(tokenizer, whole[at + len(answer) : len(following)])
        ends = next((n for n, (ours, theirs) in enumerate(zip(after, end, strict=False)) if ours != theirs), min(len(after), len(end)))
        if not ends:
            return _parts_by_trl(tokenizer, row)
        parts += [(_tokens(tokenizer, whole[done : len(start)]), False), (_tokens(tokenizer, whole[len(start) : at]), False)]
        parts.append((_tokens(tokenizer, answer), True))
        parts += [(after[:ends], True), (after[ends:], False)]
        done = len(following)
    return [*parts, (last, True)]


def _plain_parts(tokenizer: Any, row: Demonstration) -> list[tuple[list[int], bool]]:
    """Without a template: the answers in the paper's form. Nothing ends one there but the next question, so no end is learnt but the last."""
    parts: list[tuple[list[int], bool]] = []
    for place, message in enumerate(row.prompt):
        text = PLAIN_TURNS.get(message["role"], "{0}\n").format(message["content"])
        if place in row.earlier:
            parts += [(_tokens(tokenizer, text.removesuffix("\n")), True), (_tokens(tokenizer, "\n"), False)]
        else:
            parts.append((encode(tokenizer, text, add_special_tokens=not parts), False))
    return parts


def _parts_by_trl(tokenizer: Any, row: Demonstration) -> list[tuple[list[int], bool]]:
    """The whole conversation by a template that says itself what is generated: its own, or the one that TRL knows for training in its place."""
    from transformers.utils.chat_template_utils import render_jinja_template
    from trl.chat_template_utils import get_training_chat_template, has_generation_markers

    known = tokenizer.chat_template
    if not has_generation_markers(known):
        try:
            known = get_training_chat_template(tokenizer)
        except ValueError:
            known = None
    answers = [(at, turn["content"]) for at, turn in enumerate(row.messages) if turn["role"] == "assistant"]
    if known is not None:
        texts, spans = render_jinja_template(
            conversations=[list(row.messages)],
            chat_template=known,
            return_assistant_tokens_mask=True,
            strftime_now=TEMPLATE_DATE.strftime,
            **tokenizer.special_tokens_map,
        )
        text, found = texts[0], spans[0]
        if len(found) == len(answers) and all(
            _without_thought(text[start:stop]).startswith(_without_thought(answer))
            for (start, stop), (_, answer) in zip(found, answers, strict=True)
        ):
            return _spanned(tokenizer, text, [span for span, (at, _) in zip(found, answers, strict=True) if at in row.learnt])
    raise _refusal(
        tokenizer, f"writes earlier answers another way than they are sampled, in a row that asks {excerpt(row.prompt[-1]['content'])}"
    )


def _spanned(tokenizer: Any, text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[list[int], bool]]:
    parts: list[tuple[list[int], bool]] = []
    done = 0
    for start, stop in spans:
        parts += [(_tokens(tokenizer, text[done:start]), False), (_tokens(tokenizer, text[start:stop].rstrip()), True)]
        done = stop
    if tokenizer.eos_token_id not in parts[-1][0]:
        parts.append(([tokenizer.eos_token_id], True))
    return parts


def _template_end(tokenizer: Any) -> list[int]:
    text = _written(tokenizer, [{"role": "user", "content": "question"}, _answered(_MARK)], asking=False)
    _, mark, after = text.rpartition(_MARK)
    if not mark:
        raise _refusal(tokenizer, "alters answers")
    return _tokens(tokenizer, after.rstrip())


def _fault(asked: str, told: str, answer: str) -> str:
    """What a template does to an answer; empty where it leaves it as it is."""
    prompt, dialogue, said = _squeezed(asked), _squeezed(told), _squeezed(answer)
    if not dialogue.startswith(prompt):
        opened = open_thought(asked)
        if opened is not None:
            return f"opens a thought that the answer does not close (`{opened}`)"
        return "writes the prompt another way once the answer follows it"
    rest = dialogue[len(prompt) :]
    if rest.startswith(said) or _without_thought(rest).startswith(said):
        return ""
    if open_thought(asked) is not None:
        return f"opens a thought that the answer does not close (`{open_thought(asked)}`)"
    if said in rest:
        return f"puts {rest[: rest.index(said)][:_SHOWN]!r} before the answer"
    same = next((at for at, (ours, theirs) in enumerate(zip(said, rest, strict=False)) if ours != theirs), min(len(said), len(rest)))
    return f"alters the answer ({said[same : same + _SHOWN]!r} becomes {rest[same : same + _SHOWN]!r})"


def _written(tokenizer: Any, messages: Sequence[Message], *, asking: bool) -> str:
    return chat_text(tokenizer, messages, add_generation_prompt=asking)


def _refusal(tokenizer: Any, fault: str) -> DataError:
    return DataError(
        f"the model's chat template {fault}: what would be learnt is not what is asked for", where=str(tokenizer.name_or_path), fix=_FIX
    )


def _answered(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _without_thought(text: str) -> str:
    """A text without white space and without an empty thought at its beginning."""
    return _EMPTY_THOUGHT.sub("", _squeezed(text), count=1)


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _tokens(tokenizer: Any, text: str) -> list[int]:
    return encode(tokenizer, text) if text else []
