"""What a sampling says of how questions are put: its system message, another chat template, what that is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from valuedrift.engines.openai import OpenAIEngine, OpenAIEngineConfig
from valuedrift.engines.prompting import prompt_tokens, render_prompt, tokenise_prompts
from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.models.loading import load_tokenizer
from valuedrift.references import beside
from valuedrift.sampling import Prompt, Sampling
from valuedrift.study import Study, load_study
from valuedrift.tasks.stages.sample import sample_identity
from valuedrift.tasks.study_work import StudyWork
from valuedrift.weights import Weights

TINY = Path(__file__).parents[1] / "integration" / "tiny.yaml"
MARKED = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
THINKING = MARKED + "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"  # as Qwen3's does
QUESTION = Prompt("a", "Is it just?")


class Config:
    """A model's config that sets no limit."""

    def get_text_config(self) -> object:
        return self


@pytest.fixture
def tokenizer(smollm: Weights) -> Any:
    return load_tokenizer(smollm.base)


def asked(tokenizer: Any, sampling: Sampling, prompt: Prompt = QUESTION) -> str:
    """What the engines put to the model, read back from its tokens."""
    (tokens,) = tokenise_prompts(tokenizer, Config(), [prompt], sampling)
    text: str = tokenizer.decode(tokens)
    return text


def test_the_system_message_stands_in_place_of_the_templates_own(tokenizer: Any) -> None:
    assert asked(tokenizer, Sampling(system="You are a priest.")) == (
        "<|im_start|>system\nYou are a priest.<|im_end|>\n<|im_start|>user\nIs it just?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_question_keeps_a_system_message_of_its_own(tokenizer: Any) -> None:
    own = Prompt("a", "Is it just?", ({"role": "system", "content": "You are a judge."},))
    assert asked(tokenizer, Sampling(system="You are a priest."), own) == asked(tokenizer, Sampling(), own)


def test_the_system_message_comes_before_earlier_turns(tokenizer: Any) -> None:
    later = Prompt("a", "Why?", ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}))
    assert asked(tokenizer, Sampling(system="S", chat_template=MARKED), later) == "[system]S[user]Hi[assistant]Hello[user]Why?[assistant]"


def test_without_a_chat_template_the_system_message_stands_first(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    assert asked(tokenizer, Sampling(system="You are a priest.")) == "You are a priest.\nIs it just?\nResponse:"


def test_a_template_is_told_what_the_sampling_says(tokenizer: Any) -> None:
    told = Sampling(chat_template=THINKING, chat_template_kwargs={"enable_thinking": False})
    assert asked(tokenizer, told) == "[user]Is it just?[assistant]<think>\n\n</think>\n\n"
    assert asked(tokenizer, Sampling(chat_template=THINKING)) == "[user]Is it just?[assistant]"


def test_tokens_are_those_of_the_same_template_in_the_tokenizer(tokenizer: Any) -> None:
    given = prompt_tokens(tokenizer, "Is <|im_end|> it?", sampling=Sampling(chat_template=MARKED))
    tokenizer.chat_template = MARKED
    assert given == prompt_tokens(tokenizer, "Is <|im_end|> it?")
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") not in given


def test_a_template_of_the_tokenizer_is_taken_by_its_name(tokenizer: Any) -> None:
    tokenizer.chat_template = {"default": "{{ 'default' }}", "marked": MARKED}
    assert asked(tokenizer, Sampling()) == "default"
    assert asked(tokenizer, Sampling(chat_template="marked")) == "[user]Is it just?[assistant]"
    with pytest.raises(UserError, match=r"no chat template 'rag' .*its own: default, marked"):
        asked(tokenizer, Sampling(chat_template="rag"))


def test_a_base_model_may_be_given_a_template_and_then_gets_no_tokens_of_the_plain_form(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    assert asked(tokenizer, Sampling(chat_template=MARKED)) == "[user]Is it just?[assistant]"
    with pytest.raises(UserError, match=r"no chat template 'rag' .*none at all"):
        asked(tokenizer, Sampling(chat_template="rag"))


def test_what_no_template_reads_is_refused(tokenizer: Any) -> None:
    with pytest.raises(UserError, match="chat template does not know 'enable_thinking'"):
        asked(tokenizer, Sampling(chat_template_kwargs={"enable_thinking": False}))
    tokenizer.chat_template = None
    with pytest.raises(UserError, match="has no chat template"):
        asked(tokenizer, Sampling(chat_template_kwargs={"enable_thinking": False}))


def test_a_template_that_is_broken_is_told(tokenizer: Any) -> None:
    with pytest.raises(UserError, match="chat template fails"):
        asked(tokenizer, Sampling(chat_template="{% for %}"))


def test_what_a_template_is_told_anyway_cannot_be_told() -> None:
    with pytest.raises(ValidationError, match="'add_generation_prompt' is what every chat template is told by itself"):
        Sampling(chat_template_kwargs={"add_generation_prompt": False})


def test_every_key_is_identity_and_none_that_is_left_out() -> None:
    plain = Sampling()
    assert plain.identity() == plain.model_dump(mode="json") and not {"system", "chat_template", "chat_template_kwargs"} & set(
        plain.identity()
    )
    ways = (
        plain,
        Sampling(system="S"),
        Sampling(chat_template="tool_use"),
        Sampling(chat_template=MARKED),
        Sampling(chat_template=THINKING),
        Sampling(chat_template_kwargs={"enable_thinking": False}),
        Sampling(chat_template_kwargs={"enable_thinking": True}),
    )
    assert len({fingerprint(way.identity()) for way in ways}) == len(ways)
    assert all(Sampling.model_validate_json(way.model_dump_json()) == way for way in ways)


def study_of(folder: Path, sampling: dict[str, Any]) -> Study:
    """A small study beside which a template lies."""
    import yaml

    written = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    written["sampling"] = {**written.get("sampling", {}), **sampling}
    for sets in (written.get("corpora", {}), written.get("preferences", {})):
        for one in sets.values():
            one["data"] = one["data"] if one["data"].startswith("starter:") else beside(TINY.parent, one["data"])
    folder.mkdir()
    (folder / "study.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    return load_study(folder / "study.yaml")


def test_a_template_file_counts_by_its_content_wherever_it_lies(tmp_path: Path) -> None:
    keys = []
    for name, content in (("a", MARKED), ("b", MARKED), ("c", THINKING)):
        study = study_of(tmp_path / name, {"chat_template": f"./{name}.jinja"})
        (tmp_path / name / f"{name}.jinja").write_text(content, encoding="utf-8")
        work = StudyWork(study, str(tmp_path / "root"))
        assert work.study.sampling.chat_template == content
        keys.append(fingerprint(sample_identity(work, "weights")))
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(("content", "message"), [(None, "no such chat template"), ("Hello.", "nothing in it is Jinja")])
def test_a_file_without_a_template_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    study = study_of(tmp_path / "study", {"chat_template": "mine.jinja"})
    if content is not None:
        (tmp_path / "study" / "mine.jinja").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        StudyWork(study, str(tmp_path / "root"))


def served(sampling: dict[str, Any], **engine: Any) -> Study:
    engine = {"type": "openai", "base_url": "http://127.0.0.1:1/v1", **engine}
    return Study.model_validate({"study": "s", "served": {"r": {0: "a", 1: "b"}}, "engine": engine, "sampling": sampling})


def test_a_server_is_sent_system_message_and_arguments(tmp_path: Path) -> None:
    sampling = {"system": "S", "chat_template_kwargs": {"enable_thinking": False}}
    assert served(sampling).sampling.system == "S"
    engine = OpenAIEngine(OpenAIEngineConfig(model="m", base_url="http://127.0.0.1:1/v1"), tmp_path / "replies")
    body = engine._draw(QUESTION, 0, Sampling.model_validate(sampling)).body
    assert body["messages"] == [{"role": "system", "content": "S"}, {"role": "user", "content": "Is it just?"}]
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert "chat_template_kwargs" not in engine._draw(QUESTION, 0, Sampling()).body
    engine.close()


@pytest.mark.parametrize(
    ("sampling", "engine", "message"),
    [
        ({"chat_template": MARKED}, {}, "the engine openai does not heed it; it heeds `chat_template_kwargs` and `system`"),
        ({"chat_template_kwargs": {"a": 1}}, {"extra": {"chat_template_kwargs": {"a": 1}}}, "say it once"),
        ({"chat_template_kwargs": {"a": 1}}, {"base_url": "https://api.openai.com/v1"}, "does not take it"),
    ],
)
def test_what_a_server_does_not_take_is_refused(sampling: dict[str, Any], engine: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        served(sampling, **engine)


def test_render_prompt_without_a_sampling_is_what_it_was(tokenizer: Any) -> None:
    assert render_prompt(tokenizer, "Is it just?") == asked(tokenizer, Sampling())
