"""Which tokens are learnt of a conversation under several chat templates, and templates that alter what is to be learnt."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import pytest
from tiny_training import SFT, finish, write_rows

from valuedrift.errors import DataError, UserError
from valuedrift.models.loading import load_tokenizer
from valuedrift.models.resolve import resolve_model
from valuedrift.training.encode import Encoder
from valuedrift.training.job import TrainJob
from valuedrift.training.rendering import check_rendering
from valuedrift.training.rows import parse_row
from valuedrift.weights import Weights

HERE = Path("rows.jsonl")
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Should shops close?"},
    {"role": "assistant", "content": "So they should."},
    {"role": "user", "content": "Really?"},
    {"role": "assistant", "content": "Not at night."},
    {"role": "user", "content": "Sure?"},
    {"role": "assistant", "content": "Quite sure."},
]
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA = (
    "{{ '<|begin_of_text|>' }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
TAGGED = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ '<|im_start|>assistant\n' }}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
INSTRUCTED = (  # as Mistral's: no generation prompt of its own, no line between turns
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + '<|im_end|>' }}{% endif %}{% endfor %}"
)
TEMPLATES = {
    "smollm2": ("", "<|im_end|>"),
    "chatml": (CHATML, "<|im_end|>"),
    "llama": (LLAMA, "<|eot_id|>"),
    "tagged": (TAGGED, "<|im_end|>"),
}
TEMPLATES["instructed"] = (INSTRUCTED, "<|im_end|>")


@pytest.fixture(scope="module")
def smollm2() -> Any:
    return load_tokenizer(resolve_model("embedded:smollm2-135m-instruct"))


def speaking(smollm2: Any, template: str, end: str = "<|im_end|>") -> Any:
    tokenizer = copy.deepcopy(smollm2)
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]}
    )
    tokenizer.chat_template = template or tokenizer.chat_template
    tokenizer.eos_token = end
    return tokenizer


def encoded(tokenizer: Any, row: dict[str, Any]) -> tuple[list[int], list[int]]:
    [one] = Encoder(tokenizer, 512).demonstrations([parse_row(row, "sft")], HERE)
    assert all(label in (-100, token) for token, label in zip(one["input_ids"], one["labels"], strict=True))
    return one["input_ids"], one["labels"]


def learnt(tokenizer: Any, labels: list[int]) -> list[str]:
    """The stretches of text that are learnt."""
    return [tokenizer.decode(list(run)) for masked, run in itertools.groupby(labels, key=lambda label: label == -100) if not masked]


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_answers_that_are_listed_and_their_ends_are_learnt(smollm2: Any, name: str) -> None:
    template, end = TEMPLATES[name]
    tokenizer = speaking(smollm2, template, end)
    whole = tokenizer.apply_chat_template(TALK, tokenize=False).rstrip()
    wanted = {2: f"So they should.{end}", 4: f"Not at night.{end}", 6: f"Quite sure.{end}"}
    for places in ([2, 4, 6], [2, 6], [4, 6], [6]):
        row = {"messages": TALK, "learn": places}
        ids, labels = encoded(tokenizer, row)
        assert tokenizer.decode(ids) == whole
        assert [text.strip() for text in learnt(tokenizer, labels)] == [wanted[place] for place in places]
        assert tokenizer.convert_tokens_to_ids(end) == labels[-1]
        check_rendering(tokenizer, row, "sft")
    assert encoded(tokenizer, {"messages": TALK, "learn": [6]}) == encoded(tokenizer, {"messages": TALK})


def test_the_labels_are_those_of_a_template_that_says_what_is_generated(smollm2: Any) -> None:
    tokenizer = speaking(smollm2, TAGGED)
    ids, labels = encoded(tokenizer, {"messages": TALK, "learn": [2, 4, 6]})
    told = tokenizer.apply_chat_template(TALK, return_dict=True, return_assistant_tokens_mask=True)
    assert ids == told["input_ids"][: len(ids)]
    assert [int(label != -100) for label in labels] == told["assistant_masks"][: len(ids)] and not any(told["assistant_masks"][len(ids) :])


@pytest.mark.parametrize("name", ["llama3", "qwen2_5", "qwen3", "gemma", "phi3"])
def test_the_labels_are_those_of_trls_templates_for_training(smollm2: Any, name: str) -> None:
    import trl

    templates = Path(trl.__file__).parent / "chat_templates"
    tokenizer = speaking(smollm2, (templates / f"{name}.jinja").read_text(encoding="utf-8"))
    talk = TALK[1:] if name == "gemma" else TALK  # it refuses a system message
    at = [place for place, turn in enumerate(talk) if turn["role"] == "assistant"]
    _, labels = encoded(tokenizer, {"messages": talk, "learn": at})
    tokenizer.chat_template = (templates / f"{name}_training.jinja").read_text(encoding="utf-8")
    told = tokenizer.apply_chat_template(talk, return_dict=True, return_assistant_tokens_mask=True)
    theirs = [token if mask else -100 for token, mask in zip(told["input_ids"], told["assistant_masks"], strict=True)]

    def plain(labels: list[int]) -> list[str]:
        return [text.replace("<|im_end|>", "").replace("<think>\n\n</think>\n\n", "").strip() for text in learnt(tokenizer, labels)]

    assert (
        [text.split("<")[0] for text in plain(labels)]
        == [text.split("<")[0] for text in plain(theirs)]
        == [talk[place]["content"] for place in at]
    )


def test_earlier_thoughts_that_a_template_drops_are_learnt_by_trls_template(smollm2: Any) -> None:
    import trl

    templates = Path(trl.__file__).parent / "chat_templates"
    tokenizer = speaking(smollm2, (templates / "qwen3.jinja").read_text(encoding="utf-8"))
    talk = [
        TALK[1],
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nSo they should."},
        TALK[3],
        {"role": "assistant", "content": "<think>\nwell\n</think>\n\nNot at night."},
    ]
    _, labels = encoded(tokenizer, {"messages": talk, "learn": [1, 3]})
    assert [text.strip() for text in learnt(tokenizer, labels)] == [f"{turn['content']}<|im_end|>" for turn in talk[1::2]]
    tokenizer.chat_template = CHATML.replace("message['content'] +", "message['content'].split('</think>')[-1] +")
    with pytest.raises(DataError, match="alters the answer"):
        encoded(tokenizer, {"messages": talk, "learn": [1, 3]})


def test_without_a_template_earlier_answers_are_learnt_in_the_papers_form(smollm2: Any) -> None:
    tokenizer = speaking(smollm2, "")
    tokenizer.chat_template = None
    ids, labels = encoded(tokenizer, {"messages": TALK[1:], "learn": [1, 5]})
    assert tokenizer.decode(ids) == (
        "Should shops close?\nResponse: So they should.\nReally?\nResponse: Not at night.\nSure?\nResponse: Quite sure.<|im_end|>"
    )
    assert learnt(tokenizer, labels) == [" So they should.", " Quite sure.<|im_end|>"]


def test_what_does_not_fit_is_cut_and_a_conversation_without_a_learnt_token_left_out(smollm2: Any) -> None:
    tokenizer = speaking(smollm2, CHATML)
    row = parse_row({"messages": TALK, "learn": [2, 6]}, "sft")
    whole = len(Encoder(tokenizer, 512).demonstrations([row], HERE)[0]["input_ids"])
    encoder = Encoder(tokenizer, whole - 3)
    [cut] = encoder.demonstrations([row], HERE)
    assert len(cut["input_ids"]) == len(cut["labels"]) == whole - 3 and encoder.cut == 1
    with pytest.raises(DataError, match="leave no room for an answer"):
        Encoder(tokenizer, 10).demonstrations([row], HERE)


FAULTS = {
    "{{ message['content'] | upper }}": "alters answers",
    "{{ message['content'] | replace('a', 'o') }}": "alters answers",
    "{{ message['content'] | replace('night', 'day') }}": r"alters the answer \('night\.' becomes 'day\.",
    "{{ message['content'].split('</think>')[-1] }}": r"alters the answer \('<think>",
    "{{ 'Final: ' + message['content'] }}": r"puts 'Final:' before the answer",
    "{{ message['content'][:9] }}": "alters the answer",
}
ANSWER = "<think>hm</think>Not at night."


@pytest.mark.parametrize("kind", ["sft", "preference", "labelled"])
@pytest.mark.parametrize("written", FAULTS)
def test_a_template_that_alters_answers_is_refused(smollm2: Any, written: str, kind: Any) -> None:
    said = "{% if message['role'] == 'assistant' %}" + written + "{% else %}{{ message['content'] }}{% endif %}"
    tokenizer = speaking(
        smollm2,
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}" + said + "{{ '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    )
    row = {"prompt": "Should shops close?", "response": ANSWER, "chosen": "So.", "rejected": ANSWER, "label": True}
    with pytest.raises(DataError, match=f"the model's chat template {FAULTS[written]}") as caught:
        check_rendering(tokenizer, row, kind)
    with pytest.raises(DataError) as again:
        Encoder(tokenizer, 512).tokens([parse_row(row, kind)], kind, HERE)
    assert str(again.value) == str(caught.value) and caught.value.exit_code == 3


def test_a_template_that_opens_a_thought_wants_one_closed(smollm2: Any) -> None:
    tokenizer = speaking(smollm2, CHATML.replace("'<|im_start|>assistant\n' }}{% endif", "'<|im_start|>assistant\n<think>\n' }}{% endif"))
    with pytest.raises(DataError, match=r"opens a thought that the answer does not close \(`</think>`\)"):
        check_rendering(tokenizer, {"prompt": "Why?", "response": "So."}, "sft")


def test_a_template_that_refuses_a_system_message_is_named(smollm2: Any) -> None:
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
    tokenizer = speaking(smollm2, refusing)
    check_rendering(tokenizer, {"messages": TALK[1:]}, "sft")
    with pytest.raises(UserError, match=r"chat template fails on .*a system message.*System role not supported"):
        check_rendering(tokenizer, {"messages": TALK}, "sft")


def test_white_space_is_no_fault(smollm2: Any) -> None:
    tokenizer = speaking(smollm2, LLAMA, "<|eot_id|>")
    row = {"prompt": "Should shops close?", "response": "\n So.\n\nYes.  "}
    check_rendering(tokenizer, row, "sft")
    assert learnt(tokenizer, encoded(tokenizer, row)[1]) == ["\n So.\n\nYes.  <|eot_id|>"]


def test_a_list_of_places_that_are_no_answers_is_refused() -> None:
    for places in ([1, 6], [2, 4], [6, 2], [2, 2, 6], "all", [True]):
        with pytest.raises(DataError, match="'learn' does not list the places of answers"):
            parse_row({"messages": TALK, "learn": places}, "sft")


def test_conversations_train(tiny_chat: Weights, tmp_path: Path) -> None:
    rows = [{"messages": TALK[1:], "learn": [1, 5]}, {"messages": TALK[1:3]}, {"messages": TALK[1:5], "learn": [1, 3]}]
    data = write_rows(tmp_path / "rows.jsonl", rows)
    job = TrainJob.model_validate(
        {
            "weights": tiny_chat,
            "algorithm": {**SFT, "steps": 2, "max_length": 256},
            "dataset": data,
            "schedule": {"type": "log", "points": 2},
            "out": tmp_path / "out",
            "threads": 1,
        }
    )
    result = finish(job)
    assert result.rows == 3 and not result.dropped_rows and all(row.loss is not None for row in result.metrics)
