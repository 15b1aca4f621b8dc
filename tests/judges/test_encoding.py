"""Token windows: nothing of an answer is lost that fits, and what is too long keeps both ends."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valuedrift.judges.network.windows import MAX_WINDOWS, OVERLAP_TOKENS, PROMPT_TOKENS, RESPONSE_TOKENS, Encoder, spans
from valuedrift.models.resolve import resolve_model


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(resolve_model("embedded:minilm"))


@given(st.integers(0, 6000))
def test_spans_cover_the_answer(length: int) -> None:
    ids = list(range(length))
    parts = spans(ids)
    assert 1 <= len(parts) <= MAX_WINDOWS
    assert all(len(part) <= RESPONSE_TOKENS for part in parts)
    covered = {token for part in parts for token in part}
    if len(parts) < MAX_WINDOWS:
        assert covered == set(ids)
    if length:
        assert {0, length - 1} <= covered
    for left, right in pairwise(parts):
        assert right[0] - left[-1] <= 1 - OVERLAP_TOKENS or len(parts) == MAX_WINDOWS


def test_an_answer_of_the_papers_length_is_one_window(encoder: Encoder) -> None:
    [windows] = encoder.responses(["word " * 256])
    assert len(windows) == 1


def test_a_window_begins_and_ends_as_bert_expects(encoder: Encoder) -> None:
    [[window]] = encoder.responses(["It is wrong."])
    [[longer]] = encoder.responses(["It is wrong, I think."])
    assert window[:4] == longer[:4]
    assert (len(window), window[-1]) == (6, longer[-1])  # [CLS] it is wrong . [SEP]
    assert encoder.prompts(["It is wrong."]) == [window]


def test_long_prompts_keep_both_ends(encoder: Encoder) -> None:
    [window] = encoder.prompts(["first " + "word " * 5000 + "last"])
    [ends] = encoder.prompts(["first last"])
    assert len(window) == PROMPT_TOKENS + 2
    assert (window[1], window[-2]) == (ends[1], ends[2])


@pytest.mark.parametrize("text", ["", "\x00", "\ud83d", "👍", "مرحبا", "a" * 5_000_000, "word " * 40_000])
def test_any_text_gives_windows(encoder: Encoder, text: str) -> None:
    [windows] = encoder.responses([text])
    assert 1 <= len(windows) <= MAX_WINDOWS
    assert all(len(window) <= 512 for window in [*windows, *encoder.prompts([text])])


def test_what_spells_a_control_token_is_text(encoder: Encoder) -> None:
    """By token ids: [CLS] and [SEP] stand at the ends of a window alone, and nothing of the text is lost."""
    ends = {encoder.prompts([""])[0][0], encoder.prompts([""])[0][-1], encoder.pad}
    for name in ("[SEP]", "[CLS]", "[PAD]", "[MASK]", "[UNK]"):
        [window], [[answer]] = encoder.prompts([f"Is {name} right?"]), encoder.responses([f"No, {name} not."])
        for tokens in (window, answer):
            assert not ends & set(tokens[1:-1])
        assert window[1:-1] == (*encoder.prompts(["Is"])[0][1:-1], *encoder.prompts([name])[0][1:-1], *encoder.prompts(["right?"])[0][1:-1])
        assert len(encoder.prompts([name])[0]) > 4
