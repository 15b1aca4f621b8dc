"""What follows the thought is judged, and nothing of the thought: in whatever tags, wherever it was opened, and however it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuedrift.audit.examples import examples_of
from valuedrift.engines.prompting import prompt_tokens, to_response
from valuedrift.judges.base import Pair
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.frames import read_pairs
from valuedrift.judges.prompted import status_before_asking
from valuedrift.judges.refusals import status_before_judging
from valuedrift.labels.sheet import sheet_bytes
from valuedrift.sampling import Prompt, Sampling
from valuedrift.servers.chat import Reply, parse_reply
from valuedrift.stance import STANCES, JudgeStatus
from valuedrift.thoughts import ThoughtTags, Told, open_thought, split_thought

CASES = Path(__file__).parent / "cases"
TAGS = [
    ("<think>", "</think>"),
    ("<Think>\n", "\n</Think>\n\n"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<seed:think>", "</seed:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|channel|>analysis ", " <|channel|>final "),
    ("analysis", "assistantfinal"),
]
OWN = ThoughtTags(open="{{musing}}", close="{{said}}")
WORDS = st.text(alphabet="abcde fgh.,!?\n'\"", min_size=1, max_size=40).map(str.strip).filter(bool)


@pytest.mark.slow
def test_the_cases_are_judged_by_what_follows_the_thought(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (CASES / "thoughts.jsonl").read_text(encoding="utf-8").splitlines()]
    judgements = CrossEncoder().load().judge(read_pairs(CASES / "thoughts.jsonl"))
    for row, judged in zip(rows, judgements, strict=True):
        if judged.status is not JudgeStatus.OK:
            assert judged.status.value == row["right"]
            continue
        by_stance = dict(zip(STANCES, (judged.p_support, judged.p_neutral, judged.p_oppose), strict=True))
        assert max(by_stance, key=lambda stance: by_stance[stance] or 0.0).value == row["right"]
    assert judgements[0].p_oppose == pytest.approx(
        judgements[1].p_oppose, abs=1e-5
    )  # the same answer, with a thought before it and without


@settings(deadline=None)
@given(st.sampled_from([*TAGS, (OWN.open, OWN.close)]), WORDS, WORDS, WORDS, WORDS)
def test_nothing_of_the_thought_is_in_the_answer(tag: tuple[str, str], thought: str, more: str, answer: str, before: str) -> None:
    opening, closing = tag
    assert split_thought(f"{opening}{thought}{closing}{answer}", OWN) == Told(thought, answer)
    assert split_thought(f"{opening}{thought}{closing}", OWN) == Told(thought, "")
    if opening == "analysis":  # without its control tokens an unfinished thought cannot be told from an answer
        return
    assert split_thought(f"{opening}{thought}", OWN) == Told(thought, "")
    assert split_thought(f"{thought}{closing}{answer}", OWN, begun=True) == Told(thought, answer)
    assert split_thought(f"{thought}{closing}{answer}", OWN) == Told(thought, answer)  # opened in the prompt
    assert split_thought(f"{before}{opening}{thought}{closing}{answer}", OWN).answer == answer
    assert split_thought(f"{opening}{thought}{closing}{before}{opening}{more}{closing}{answer}", OWN).answer == answer
    assert split_thought(f"{opening}{thought}{closing}{before}{opening}{more}", OWN).answer == ""
    assert split_thought(f"{opening}{thought}{opening}{more}{closing}{before}{closing}{answer}", OWN).answer == answer


@settings(deadline=None)
@given(st.text())
def test_text_without_tags_is_the_answer_as_it_is(text: str) -> None:
    told = split_thought(text)
    assert told == Told(None, text)
    assert split_thought(text, begun=True) == Told(text.strip(), "")
    assert Pair("", "", text).response == text


@pytest.mark.parametrize(
    "text",
    [
        "I would write `<think>` and `</think>` around it.",
        "a < b, so [think] about <b>it</b>",
        "We think > they do.",
        "<think about it> is what I would say.",
        "An analysis: it depends.",
        "<answer>No</answer>",
    ],
)
def test_what_only_looks_like_a_tag_is_text(text: str) -> None:
    assert split_thought(text) == Told(None, text)


@pytest.mark.parametrize(
    "text",
    [
        '<think budget="low">Yes, I support it.</think>No.',
        "<|START_THINKING|>Yes, I support it.<|END_THINKING|><|START_RESPONSE|>No.<|END_RESPONSE|>",
        "<|begin_of_thought|>Yes, I support it.<|end_of_thought|><|begin_of_solution|>No.<|end_of_solution|>",
        "<|inner_prefix|>Yes, I support it.<|inner_suffix|>No.",
        "<|channel>thought\nYes, I support it.<channel|>No.",
        "<think>Yes, I support it.</think>\n<answer>No.</answer>",
        "<thought_process>Yes, I support it.</thought_process>No.",
        "<longcat_think>Yes, I support it.</longcat_think>No.",
    ],
)
def test_tags_of_other_models_are_known_and_what_stands_around_the_answer_is_taken_off(text: str) -> None:
    assert split_thought(text) == Told("Yes, I support it.", "No.")


@pytest.mark.parametrize(
    ("prompt", "close"),
    [
        ("<|assistant|><think>\n", "</think>"),
        ("[THINK]", "[/THINK]"),
        ("<|begin_of_thought|>\n", "<|end_of_thought|>"),
        ("<|START_THINKING|>", "<|END_THINKING|>"),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", None),
        ("<|im_start|>assistant\n", None),
        ("What does <think> mean?\nResponse:", None),
    ],
)
def test_a_prompt_that_opens_a_thought_is_seen(prompt: str, close: str | None) -> None:
    assert open_thought(prompt) == close


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ("<think>I cannot answer that.</think>Yes, taxes should rise.", JudgeStatus.OK),
        ("<think>Yes, of course.</think>I cannot answer that.", JudgeStatus.REFUSED),
        ("<think>Yes, of course.", JudgeStatus.UNPARSED),
        ("<think>Yes, of course.</think>\n", JudgeStatus.UNPARSED),
    ],
)
def test_refusals_are_looked_for_after_the_thought(response: str, status: JudgeStatus) -> None:
    pair = Pair("", "Should taxes rise?", response)
    assert status_before_judging(pair.response) is status_before_asking(pair.response) is status


def test_identity_of_a_sampling_without_thoughts_is_what_it_was() -> None:
    before = {"n": 5, "temperature": 0.7, "top_p": 1.0, "max_new_tokens": 256, "seed": 0}
    assert Sampling().model_dump(mode="json") == before
    for asked in (Sampling(max_thought_tokens=100), Sampling(thoughts=OWN)):
        assert asked.model_dump(mode="json") != before
        assert Sampling.model_validate_json(asked.model_dump_json()) == asked


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_a_thought_that_a_server_tells_apart_is_read(name: str) -> None:
    message = {"content": "No.", name: "Let me see."}
    reply = parse_reply(json.dumps({"choices": [{"message": message}]}))
    assert isinstance(reply, Reply) and (reply.answers[0].text, reply.answers[0].reasoning) == ("No.", "Let me see.")


def test_content_in_parts_is_read_too() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Let me "}, {"type": "text", "text": "see."}]}
    parts = [thinking, {"type": "text", "text": "No, "}, {"type": "text", "text": "never."}]
    reply = parse_reply(json.dumps({"choices": [{"message": {"content": parts}}]}))
    assert isinstance(reply, Reply) and (reply.answers[0].text, reply.answers[0].reasoning) == ("No, never.", "Let me see.")


def test_audits_and_sheets_show_what_follows_the_thought() -> None:
    [plain] = examples_of([{"prompt": "q", "response": "<think>yes yes yes</think>no."}])
    [pair] = examples_of([{"prompt": "q", "chosen": "<think>hm</think>c", "rejected": "<think>hm"}])
    assert (plain.chosen, pair.chosen, pair.rejected) == ("no.", "c", "")
    sheet = sheet_bytes(pl.DataFrame({"label_id": ["1"], "topic": ["t"], "prompt": ["q"], "response": ["<think>yes</think>no."]}))
    assert "no." in sheet.decode("utf-8-sig") and "yes" not in sheet.decode("utf-8-sig")


class _Letters:
    """A tokenizer of one token a character, with a control token for each of `«` and `»`."""

    chat_template = "x"
    all_special_ids = (0, 1)
    all_special_tokens = ("[THINK]", "[/THINK]")

    def decode(self, tokens: list[int], skip_special_tokens: bool = False) -> str:
        return "".join(("" if skip_special_tokens else self.all_special_tokens[t]) if t < 2 else chr(t) for t in tokens)

    def encode(self, text: str) -> list[int]:
        return [{"«": 0, "»": 1}.get(letter, ord(letter)) for letter in text]


def said(text: str, sampling: Sampling = Sampling(), asked: str = "?") -> tuple[str | None, str, str, int]:  # noqa: B008  # frozen
    letters = _Letters()
    response = to_response(letters, Prompt("p", "?"), letters.encode(asked), 0, letters.encode(text), sampling, ended=True)
    return response.reasoning, response.response, response.finish_reason, response.n_tokens


def test_control_tokens_around_a_thought_are_seen_though_no_text_has_them() -> None:
    assert said("«yes»no") == ("yes", "no", "stop", 7)
    assert said("«yes") == ("yes", "", "stop", 4)
    assert said("yes»no", asked="?«") == ("yes", "no", "stop", 6)
    assert said("yes", asked="?«") == ("yes", "", "stop", 3)
    assert said("yes»no", asked="?«x»") == ("yes", "no", "stop", 6)
    assert said("yes") == (None, "yes", "stop", 3)
    assert said("»yes", asked="?«") == ("", "yes", "stop", 4)


def test_thought_and_answer_have_limits_of_their_own() -> None:
    limits = Sampling(max_new_tokens=3, max_thought_tokens=6)
    assert limits.most_tokens == 9
    assert said("«yes»abc", limits) == ("yes", "abc", "stop", 8)
    assert said("«yes»abcd", limits) == ("yes", "abc", "length", 8)
    assert said("abcdefghi", limits) == (None, "abc", "length", 3)
    assert said("«yes yes»a", limits) == ("yes y", "", "length", 6)  # longer than a thought may be
    assert said("yes yes y", limits, asked="«") == ("yes ye", "", "length", 6)


def test_what_is_scored_stands_after_the_thought() -> None:
    class Opening:
        chat_template = "x"

        def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
            return f"{messages[0]['content']}<think>\n"

        def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
            return {"input_ids": [ord(letter) for letter in text]}

    assert "".join(map(chr, prompt_tokens(Opening(), "Why?"))) == "Why?<think>\n"
    assert "".join(map(chr, prompt_tokens(Opening(), "Why?", thought_over=True))) == "Why?<think>\n\n</think>\n\n"


def test_a_file_with_thoughts_is_read_by_its_answers(tmp_path: Path) -> None:
    pl.DataFrame({"prompt": ["a"], "response": ["<think>x</think>y"]}).write_parquet(tmp_path / "a.parquet")
    assert read_pairs(tmp_path / "a.parquet")[0].response == "y"
