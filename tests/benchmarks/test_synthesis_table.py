"""The table of gaps in docs/synthesis.md, made again: asked, seen by the judge that selects, true by construction; packaged answers, seed 0."""

from __future__ import annotations

import pytest

from valuedrift.judges.base import Pair
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.frames import judgements_frame
from valuedrift.synthesis.candidates import accepted_answers, candidates_frame, counts, written_frame
from valuedrift.synthesis.card import card
from valuedrift.synthesis.config import Dial, Setting, Synthesis, stances_of
from valuedrift.synthesis.dial import TOLERANCE, dial
from valuedrift.synthesis.pairs import pairs_frame
from valuedrift.synthesis.questions import starter_answers, starter_questions

pytestmark = [pytest.mark.figures, pytest.mark.slow]

ROWS = [(Setting.SUPPORT_ALIGNED, gap) for gap in (0.0, 0.1, 0.2, 0.4, 0.6)] + [
    (Setting.OPPOSE_ALIGNED, 0.4),
    (Setting.NEUTRAL_ALIGNED, 0.3),
]


def test_asked_and_audited(capsys: pytest.CaptureFixture[str]) -> None:
    questions = starter_questions()
    written = written_frame(starter_answers(questions))
    prompts = {question.prompt_id: question.prompt for question in questions}
    pairs = [Pair(str(at), prompts[row["prompt_id"]], row["response"]) for at, row in enumerate(written.iter_rows(named=True))]
    judged = judgements_frame(CrossEncoder().load().judge(pairs))
    with capsys.disabled():
        print()
        for setting, gap in ROWS:
            made = Synthesis(name="table", dial=Dial(setting=setting, gap=gap))
            needed = written.get_column("stance").is_in(
                [stance.value for stance in stances_of(setting)]
            )  # a flow writes and judges no others
            candidates = candidates_frame(questions, written.filter(needed), judged.filter(needed), made.dial.accept)
            told = card(pairs_frame(dial(accepted_answers(candidates), made.dial), made), candidates, made, {})
            found = told["selector"]
            interval = f"[{found['gap_low']:.3f}, {found['gap_high']:.3f}]"
            figures = f"{found['gap']:.3f} {interval} | {told['gap_by_construction']:.2f} | {told['pairs']} | {told['aligned_pairs']}"
            print(f"| {setting.value} | {gap:g} | {figures} |")
            assert told["audited_gap"] == pytest.approx(gap, abs=TOLERANCE)
        print("; ".join(f"{row['stance']}: {row['accepted']} of {row['written']} accepted" for row in counts(candidates)))
