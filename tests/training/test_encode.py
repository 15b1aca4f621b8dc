"""Tokens of prompts and answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from valuedrift.engines.prompting import prompt_tokens
from valuedrift.errors import DataError, UserError
from valuedrift.models.loading import load_tokenizer
from valuedrift.training.encode import Encoder
from valuedrift.training.rows import Demonstration, Labelled, Preference
from valuedrift.weights import Weights

USER = {"role": "user", "content": "should people vote"}
HERE = Path("rows.jsonl")


@pytest.fixture
def tokenizer(tiny_chat: Weights) -> Any:
    return load_tokenizer(tiny_chat.base)


def test_the_loss_is_on_the_answer_and_its_end_alone(tokenizer: Any) -> None:
    (row,) = Encoder(tokenizer, 64).demonstrations([Demonstration((USER,), "surely yes")], HERE)
    prompt = prompt_tokens(tokenizer, USER["content"])
    assert row["input_ids"][: len(prompt)] == prompt
    assert row["labels"][: len(prompt)] == [-100] * len(prompt)
    assert row["labels"][len(prompt) :] == row["input_ids"][len(prompt) :]
    assert tokenizer.decode(row["input_ids"][len(prompt) :]) == "surely yes<|im_end|>"


def test_one_token_sequence_for_all_algorithms(tokenizer: Any) -> None:
    encoder = Encoder(tokenizer, 64)
    (demonstration,) = encoder.demonstrations([Demonstration((USER,), "yes")], HERE)
    (pair,) = encoder.preferences([Preference((USER,), "yes", "no")], HERE)
    (prompt,) = encoder.prompts([(USER,)], HERE, room=8)
    assert pair["prompt_ids"] == prompt["input_ids"]
    assert pair["prompt_ids"] + pair["chosen_ids"] == demonstration["input_ids"]


def test_conversations_go_through_the_template(tokenizer: Any) -> None:
    turns = (USER, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "why"})
    (row,) = Encoder(tokenizer, 64).demonstrations([Demonstration(turns, "it depends")], HERE)
    text = tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": "it depends"}], tokenize=False)
    assert tokenizer.decode(row["input_ids"]) == text.rstrip()


def test_without_a_template_the_papers_form_is_used(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    (row,) = Encoder(tokenizer, 64).demonstrations([Demonstration((USER,), "yes")], HERE)
    assert tokenizer.decode(row["input_ids"]) == "should people vote\nResponse: yes<|im_end|>"
    turns = (USER, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "why"})
    (row,) = Encoder(tokenizer, 64).demonstrations([Demonstration(turns, "it depends")], HERE)
    assert tokenizer.decode(row["input_ids"]) == "should people vote\nResponse: yes\nwhy\nResponse: it depends<|im_end|>"


def test_a_template_that_ends_turns_in_its_own_way_gets_the_samplers_end_too(tokenizer: Any) -> None:
    tokenizer.eos_token = "<|endoftext|>"
    assert tokenizer.decode(Encoder(tokenizer, 64).answer("yes")) == "yes<|im_end|><|endoftext|>"


def test_long_answers_are_cut_and_long_prompts_left_out(tokenizer: Any) -> None:
    long = {"role": "user", "content": "should people vote " * 20}
    room = len(prompt_tokens(tokenizer, USER["content"])) + 3
    encoder = Encoder(tokenizer, room)
    rows = [Preference((USER,), "surely yes it depends", "no"), Preference((long,), "yes", "no"), Preference((USER,), "a", "b")]
    encoded = encoder.preferences(rows, HERE)
    assert [len(row["chosen_ids"]) for row in encoded] == [3, 2]
    assert (encoder.dropped, encoder.cut) == (1, 1)
    assert [len(row["chosen_ids"]) for row in Encoder(tokenizer, 64).preferences(rows[:1], HERE, answer_length=1)] == [1]


def test_mostly_long_prompts_are_a_fault(tokenizer: Any) -> None:
    with pytest.raises(DataError, match="2 of 2 prompts") as caught:
        Encoder(tokenizer, 8).demonstrations([Demonstration((USER,), "yes")] * 2, HERE)
    assert "max_length" in str(caught.value)
    with pytest.raises(DataError, match="1 of 1 prompts"):
        Encoder(tokenizer, 20).prompts([(USER,)], HERE, room=19)


def test_ppo_pads_with_a_token_that_no_prompt_holds(tokenizer: Any) -> None:
    from valuedrift.training.online import choose_padding

    prompts = [prompt_tokens(tokenizer, "vote"), prompt_tokens(tokenizer, "why")]
    assert tokenizer.pad_token_id in prompts[0]
    choose_padding(tokenizer, prompts)
    assert tokenizer.pad_token_id not in {token for prompt in prompts for token in prompt} | {tokenizer.eos_token_id}
    with pytest.raises(UserError, match="padding"):
        choose_padding(tokenizer, [list(range(len(tokenizer)))])


SPELLED = ("<|im_end|>", "<|im_start|>", "<|endoftext|>")


@pytest.mark.parametrize("name", SPELLED)
def test_control_tokens_that_rows_spell_are_text_in_prompts_and_answers_of_every_kind(tokenizer: Any, name: str) -> None:
    """By token ids: the control tokens of a row are those of the same row without the spelled ones."""
    special = {tokenizer.convert_tokens_to_ids(token) for token in SPELLED}

    def rows(spelled: str) -> tuple[list[Any], list[Any], list[Any]]:
        prompt = ({"role": "system", "content": f"Be{spelled} free"}, {"role": "user", "content": f"should{spelled} people vote"})
        earlier = (*prompt, {"role": "assistant", "content": f"yes{spelled} no"}, {"role": "user", "content": "never"})
        return (
            [Demonstration(prompt, f"surely{spelled} yes"), Demonstration(earlier, "surely yes", earlier=(2,))],
            [Preference(prompt, f"surely{spelled} yes", f"never{spelled}")],
            [Labelled(prompt=prompt, response=f"surely{spelled} yes", label=True)],
        )

    def encoded(spelled: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for kind, of_kind in zip(("sft", "preference", "labelled"), rows(spelled), strict=True):
            found += Encoder(tokenizer, 400).tokens(of_kind, kind, HERE).rows  # type: ignore[arg-type] # the kinds are literals
        return found

    for plain, spelled in zip(encoded(""), encoded(name), strict=True):
        for field in plain.keys() - {"label"}:
            control = [[token for token in row[field] if token in special] for row in (plain, spelled)]
            assert control[0] == control[1], field
            assert len(spelled[field]) >= len(plain[field])
        whole = tokenizer.decode([token for field in spelled.keys() - {"label", "labels"} for token in spelled[field]])
        assert whole.count(name) > tokenizer.decode([t for field in plain.keys() - {"label", "labels"} for t in plain[field]]).count(name)
