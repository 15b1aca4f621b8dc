"""How a question becomes a prompt."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from valuedrift.engines.prompting import option_tokens, prompt_tokens, render_prompt
from valuedrift.errors import UserError
from valuedrift.models.loading import load_tokenizer
from valuedrift.training.encode import Encoder
from valuedrift.weights import Weights

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))  # untied
from untied import save_untied


def test_a_chat_template_is_used_as_it_is(smollm: Weights) -> None:
    tokenizer = load_tokenizer(smollm.base)
    text = render_prompt(tokenizer, "Is it just?")
    assert text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert text.endswith("<|im_start|>user\nIs it just?<|im_end|>\n<|im_start|>assistant\n")
    assert tokenizer.decode(prompt_tokens(tokenizer, "Is it just?")) == text


def test_a_base_model_gets_the_papers_form(smollm: Weights) -> None:
    tokenizer = load_tokenizer(smollm.base)
    tokenizer.chat_template = None
    assert render_prompt(tokenizer, "Is it {just}?") == "Is it {just}?\nResponse:"


def test_special_tokens_in_a_question_are_a_matter_of_the_template_only(smollm: Weights) -> None:
    tokenizer = load_tokenizer(smollm.base)
    assert prompt_tokens(tokenizer, "Why?").count(tokenizer.convert_tokens_to_ids("<|im_start|>")) == 3


def test_options_are_tokenised_alone_and_never_empty(smollm: Weights) -> None:
    tokenizer = load_tokenizer(smollm.base)
    assert tokenizer.decode(option_tokens(tokenizer, " Yes")) == " Yes"
    with pytest.raises(UserError, match="option without tokens"):
        option_tokens(tokenizer, "")


def test_a_template_that_refuses_is_reported(smollm: Weights) -> None:
    tokenizer = load_tokenizer(smollm.base)
    tokenizer.chat_template = "{{ raise_exception('no user turn wanted') }}"
    with pytest.raises(UserError, match="no user turn wanted"):
        render_prompt(tokenizer, "Why?")


def test_a_template_that_asks_for_the_date_is_told_one_day_in_prompts_and_in_training(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(save_untied(tmp_path / "model"))
    tokenizer.chat_template = (  # as Llama 3's does
        "{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}{%- endif %}"
        "{{ 'Today: ' + date_string }}{% for message in messages %}{{ ' ' + message.content }}{% endfor %}"
    )
    assert render_prompt(tokenizer, "Is it just?") == "Today: 26 Jul 2024 Is it just?"
    encoder = Encoder(tokenizer, max_length=128)
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}, {"role": "user", "content": "Is it?"}]
    assert tokenizer.decode(encoder.prompt(turns)) == "Today: 26 Jul 2024 Why? So. Is it?"
