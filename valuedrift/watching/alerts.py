"""What is to be told of a run that is watched: the ``alerts:`` of a study and the ``--alert`` of a line, in one language."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from valuedrift.errors import UserError
from valuedrift.stance import STANCES, Stance

ANY = "any"
MOVED = "moved"
"""Said instead of a number: to either side, by whatever can be told. Alone it is the rule on anything."""
_STANCES = (*(stance.value for stance in STANCES), ANY)
_FORM = "e.g. 'neutral on immigration < -0.2', 'support > 0.1', 'any on religion in RUN moved', 'moved'; a topic of odd words stands in double quotes"
_RULE = re.compile(
    r"""\s*(?P<stance>[^\s<>"]+)
    (?:\s+on\s+(?:"(?P<quoted>[^"]+)"|(?P<topic>(?:(?!\s+in\s)[^<>=≤≥"])+?)))?
    (?:\s+in\s+(?P<run>[^\s<>"]+))?
    (?:\s*(?P<sign>[<>])\s*(?P<number>[^\s<>="]+)|\s+moved)?\s*""",
    re.VERBOSE,
)


class Alert(BaseModel):
    """A rule: which change of a run is to be told.

    A change is a stance now minus the same stance at the start of the run. A rule fires when the many-look interval of the change lies wholly beyond the
    rule's number; without a number, when it leaves 0 out: the stance has surely moved, one way or the other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stance: Stance | Literal["any"] = Field(default="any", description="support, neutral or oppose; any: each of them.")
    topic: str = Field(default=ANY, min_length=1, description="A topic by name; any: each of them.")
    run: str = Field(default=ANY, min_length=1, description="A run by its run_id; any: each of them.")
    below: float | None = Field(default=None, strict=True, description="Fires when the change is surely below this number, in (-1, 0].")
    above: float | None = Field(default=None, strict=True, description="Fires when the change is surely above this number, in [0, 1).")

    @model_validator(mode="before")
    @classmethod
    def _from_words(cls, given: Any) -> Any:
        return _fields(given) if isinstance(given, str) else given

    @field_validator("stance", mode="before")
    @classmethod
    def _known_stance(cls, stance: Any) -> Any:
        if stance not in _STANCES:
            raise ValueError(f"no stance {stance!r}{_nearest(str(stance), _STANCES)}")
        return stance

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.below is not None and self.above is not None:
            raise ValueError("below and above in one rule: write a rule for each")
        if self.below is not None and not -1 < self.below <= 0:
            raise ValueError(
                f"below {self.below:g} is {'true of a run that never moved' if self.below > 0 else 'out of reach'}: a number in (-1, 0]"
            )
        if self.above is not None and not 0 <= self.above < 1:
            raise ValueError(
                f"above {self.above:g} is {'true of a run that never moved' if self.above < 0 else 'out of reach'}: a number in [0, 1)"
            )
        return self

    @property
    def text(self) -> str:
        """The rule in words, as on the line: reading it gives the rule again (but for a topic with a double quote)."""
        words = [str(self.stance)]
        if self.topic != ANY:
            words.append(f"on {self.topic}" if _plain(self.topic) else f'on "{self.topic}"')
        if self.run != ANY:
            words.append(f"in {self.run}")
        if self.below is not None:
            words.append(f"< {self.below}")
        if self.above is not None:
            words.append(f"> {self.above}")
        if self.below is None and self.above is None:
            words.append(MOVED)
        return " ".join(words)


class Alerts(BaseModel):
    """The rules of a study, and how sure an alert is. A list of rules alone is valid too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[Alert, ...] = Field(default=(Alert(),), description="What is told; default: whatever has moved, on any topic, in any run.")
    confidence: float = Field(
        default=0.95,
        gt=0.5,
        lt=1,
        description="Probability with which a whole training raises no false alarm, over all its checkpoints and all topics and stances that rules name.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"rules": [given]}
        return {"rules": given} if isinstance(given, (list, tuple)) else given


def alerts_from(lines: Iterable[str], *, confidence: float = 0.95, where: str = "--alert") -> Alerts:
    """The rules given on the line.

    Args:
        lines: One rule each, as in ``neutral on immigration < -0.2``; none: the default, whatever has moved.
        confidence: As in `Alerts`.
        where: What to call the place in messages.

    Raises:
        UserError: A line that is no rule, with what would be one.
    """
    rules = []
    for line in lines:
        try:
            rules.append(Alert.model_validate(line))
        except ValidationError as error:
            what = str(error.errors()[0]["msg"]).removeprefix("Value error, ").removesuffix(f": {_FORM}")
            raise UserError(what, where=f"{where} {line!r}", fix=_FORM) from None
    return Alerts(rules=tuple(rules) or (Alert(),), confidence=confidence)


def check_names(alerts: Alerts, *, topics: Collection[str], runs: Collection[str] | None = None, where: str = "alerts") -> None:
    """Refuse rules on topics and runs that there are not.

    Args:
        alerts: The rules.
        topics: Topics that are asked.
        runs: Runs that there will be, None where that is not known.
        where: What to call the place in messages.

    Raises:
        UserError: A rule would never fire, with the name that was probably meant.
    """
    for rule in alerts.rules:
        for what, name, known in (("topic", rule.topic, topics), ("run", rule.run, runs)):
            if name != ANY and known is not None and name not in known:
                raise UserError(f"no {what} {name!r}{_nearest(name, sorted(known))}", where=f"{where}: {rule.text!r}")


def _plain(topic: str) -> bool:
    """Whether a topic is read back from words without quotes."""
    read = [_RULE.fullmatch(f"any on {topic}{rest}") for rest in ("", " in RUN", " moved", " in RUN > 0")]
    return all(found is not None and found["topic"] == topic for found in read)


def _fields(words: str) -> dict[str, Any]:
    """The fields of a rule from its words.

    Raises:
        ValueError: They are no rule.
    """
    if words.strip() == MOVED:
        return {}
    found = _RULE.fullmatch(words)
    if found is None:
        raise ValueError(f"{words!r} is no alert: {_FORM}")
    fields: dict[str, Any] = {"stance": found["stance"]}
    if topic := found["quoted"] or found["topic"]:
        fields["topic"] = topic
    if found["run"]:
        fields["run"] = found["run"]
    if found["sign"]:
        try:
            number = float(found["number"].replace("−", "-"))
        except ValueError:
            raise ValueError(f"{found['number']!r} is no number") from None
        fields["below" if found["sign"] == "<" else "above"] = number
    return fields


def _nearest(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; one of {', '.join(known)}"
