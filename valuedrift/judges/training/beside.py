"""Examples beside the grids: framed prompts, verdicts, quoted, hedged, cut and buried answers, hard cases, drills."""

from __future__ import annotations

from valuedrift.judges.training.augment import KEEP, Augmenter
from valuedrift.judges.training.examples import Example
from valuedrift.judges.training.sources import Issue, flipped
from valuedrift.stance import Stance

_SIDES = (Stance.SUPPORT, Stance.OPPOSE)
_MORE = 0.5
"""How often an issue gives a neutral example as well, and a bare verdict, and how often a form is drawn again that came out plain."""


class Beside(Augmenter):
    """Draws such examples; the same seed gives the same ones. Arguments as for :class:`Augmenter`."""

    def draw(self, issue: Issue) -> list[Example]:
        """One to three examples of an issue with answers of several stances; a hard case under both its wordings."""
        if len(issue.answers) == 1:
            answer = issue.answers[0]
            text = self._finish(answer.text, answer.stance, KEEP[answer.kind])
            return [
                Example(self._prompt(wording), text, flipped(answer.stance, wording.polarity), issue.name, answer.kind)
                for wording in issue.wordings
            ]
        examples = [self._formed(issue, self._pick(_SIDES))]
        if self._random.random() < _MORE:
            examples.append(self._formed(issue, Stance.NEUTRAL))
        if self._random.random() < _MORE:
            wording, stance = self._pick(issue.wordings), self._pick(_SIDES)
            response = self._verdict(issue, wording, stance)
            examples.append(Example(self._prompt(wording), response, flipped(stance, wording.polarity), issue.name, "verdict-only"))
        return examples

    def _formed(self, issue: Issue, stance: Stance) -> Example:
        wording = self._pick(issue.wordings)
        kind, make = self._form()
        if kind == "plain" and self._random.random() < _MORE:  # the grids are full of them
            kind, make = self._form()
        keep = 0.5 if stance is Stance.NEUTRAL and kind != "buried" else KEEP[kind]
        response = self._finish(make(issue, wording, stance), stance, keep)
        return Example(self._prompt(wording), response, flipped(stance, wording.polarity), issue.name, kind)
