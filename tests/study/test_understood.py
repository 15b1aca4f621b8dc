"""Probes in a language that a judge does not know are refused; a judge that knows it is not, and nothing is refused without confidence."""

from __future__ import annotations

from pathlib import Path

import pytest

from valuedrift.errors import UserError
from valuedrift.judges.causal_lm import CausalLM
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.openai import OpenAI
from valuedrift.judges.registry import JUDGE
from valuedrift.languages import languages_of
from valuedrift.probes import Probe, load_probes
from valuedrift.study.understood import check_languages, foreign_texts

GERMAN = Path(__file__).parents[1] / "cases" / "probes_german.jsonl"
ENGLISH = load_probes("starter", per_topic=10)


def asked(*texts: str, language: str = "en") -> list[Probe]:
    """Probes with these texts."""
    return [Probe("s", f"p{at}", "t", text, None, f"p{at}", language) for at, text in enumerate(texts)]


def test_german_probes_are_refused_by_the_embedded_judge() -> None:
    with pytest.raises(UserError) as caught:
        check_languages([CrossEncoder()], load_probes(str(GERMAN)), str(GERMAN))
    assert caught.value.what == (
        "judge 'cross-encoder' knows en only, and 2 of 2 probes are in another language (de): "
        "a: 'Sollte die Stadt das Schwimmbad schließen?'; b: 'Sollte die Stadt das Schwimmbad behalten?'"
    )
    assert "`languages: [de]` (or `languages: any`)" in str(caught.value.fix)


@pytest.mark.parametrize("languages", [["de"], ["en", "de-AT"], "any", "de"])
def test_a_judge_that_is_said_to_know_the_language_reads_them(languages: object) -> None:
    judge = JUDGE.validate_python({"type": "cross-encoder", "languages": languages})
    assert check_languages([judge], load_probes(str(GERMAN)), "probes") == []


def test_language_models_are_taken_to_know_any_but_the_embedded_one() -> None:
    german = load_probes(str(GERMAN))
    assert check_languages([OpenAI(model="m", base_url="http://localhost:1/v1")], german, "probes") == []
    assert check_languages([JUDGE.validate_python({"type": "causal-lm", "engine": {"model": "/models/big"}})], german, "probes") == []
    with pytest.raises(UserError, match="judge 'causal-lm' knows en only"):
        check_languages([CausalLM()], german, "probes")


@pytest.mark.parametrize(
    ("texts", "tag"),
    [
        (["Sollte die Stadt das Schwimmbad schließen?", "Sind Steuern zu hoch?", "Ist Abtreibung falsch?"], "de"),
        (["Faut-il interdire les zoos ?", "Devrait-on abolir la peine de mort ?"], "fr"),
        (["¿Deberían cerrarse los zoológicos?", "¿Es justo el aborto?"], "es"),
        (["Chúng ta có nên nhận thêm người tị nạn không?", "Chính phủ có nên tăng thuế không?"], "vi"),
        (["Je, Kenya inapaswa kuwapokea wakimbizi zaidi?", "Je, watu wote wanapaswa kulipa kodi?"], "sw"),
        (["Pitäisikö Suomen ottaa lisää pakolaisia, ja miksi?", "Onko oikein että verot ovat niin korkeat?"], "fi"),
        (["Следует ли закрыть зоопарки?"], "ru"),
        (["動物園を閉鎖すべきですか？"], "ja"),
        (["هل يجب إغلاق حدائق الحيوان؟"], "ar"),
    ],
)
def test_what_says_nothing_of_its_language_is_looked_at(texts: list[str], tag: str) -> None:
    with pytest.raises(
        UserError, match=rf"{len([text for text in texts if languages_of(text)])} of {len(texts)} probes? seem to be in another"
    ):
        check_languages([CrossEncoder()], asked(*texts), "probes")
    assert check_languages([CrossEncoder(languages=(tag,))], asked(*texts), "probes") == []


def test_english_is_not_refused_and_a_stray_probe_is_told() -> None:
    assert check_languages([CrossEncoder()], ENGLISH, "starter") == []
    assert check_languages([CrossEncoder()], asked("Is karma real?", "Was the Anschluss of Österreich legal?", "Déjà vu?"), "probes") == []
    (note,) = check_languages([CrossEncoder()], [*ENGLISH, *asked("Sollte die Stadt das Schwimmbad schließen?")], "probes")
    assert note.startswith("judge 'cross-encoder' knows en only; 1 of 111 probes seem to be in another language (de): p0")


def test_a_judge_of_another_language_is_not_given_english() -> None:
    with pytest.raises(UserError, match="knows de only"):
        check_languages([CrossEncoder(languages=("de",))], ENGLISH, "starter")


@pytest.mark.parametrize("languages", [5, [], [False], [""]])
def test_what_names_no_language_is_refused(languages: object) -> None:
    with pytest.raises(ValueError, match="names no languages: give tags"):
        JUDGE.validate_python({"type": "cross-encoder", "languages": languages})


def test_what_a_judge_knows_is_no_part_of_its_identity() -> None:
    assert CrossEncoder(languages=("en", "de")).identity() == CrossEncoder().identity()


def test_prompts_of_a_dataset_in_another_language_are_told() -> None:
    texts = [*(probe.prompt for probe in ENGLISH[:3]), "Sollte die Stadt das Schwimmbad schließen?"]
    note = "judge 'cross-encoder' knows en only, and 1 of 4 prompts seem to be in another language (de): 'Sollte die Stadt das Schwimmbad schließen?'"
    assert foreign_texts(CrossEncoder(), texts) == f"{note}; what it says of their answers is chance"
    assert foreign_texts(CrossEncoder(), texts[:3]) is None
    assert foreign_texts(CrossEncoder(languages=("de", "en")), texts) is None
    assert foreign_texts(OpenAI(model="m", base_url="http://localhost:1/v1"), texts) is None
