"""Very short questions said in full, so that they stand as plain sentences."""

from __future__ import annotations

from valuedrift.vprism.grammar import COPULAS, DETERMINERS, word_set
from valuedrift.vprism.tidy import first_lower

_AFTER_SUBJECT = word_set(
    "be always ever really still truly more too just morally legalize legalise ban allow abolish have exist matter need deserve"
)
_VERDICTS = word_set(
    "good bad wrong right okay ethical unethical moral immoral fair unfair justified acceptable important necessary harmful evil racist sinful"
)
_THIRD_PERSON = {"exist": "exists", "have": "has", "need": "needs", "matter": "matters", "deserve": "deserves"}


def padded(text: str) -> str:
    """A very short question said in full: “Is abortion wrong” becomes “Do you think abortion is wrong”.

    Args:
        text: A yes/no question without its question mark.
    """
    words = text.split()
    if len(words) not in {3, 4} or words[1].lower() in DETERMINERS - {"the"} | {"there", "it", "you"}:
        return text
    verb, size = words[0].lower(), 2 if words[1].lower() == "the" else 1
    subject, rest = first_lower(" ".join(words[1 : size + 1])), words[size + 1 :]
    if len(rest) == 2 and verb in COPULAS and rest[1].lower() in _VERDICTS and rest[0].lower() not in DETERMINERS | _AFTER_SUBJECT:
        subject, rest = f"{subject} {rest[0]}", rest[1:]  # is capital punishment ethical
    if len(rest) > 1 and rest[0].lower() not in DETERMINERS | _AFTER_SUBJECT:
        return text  # where the subject ends cannot be told
    if rest and verb in COPULAS | {"should"}:
        return f"do you think {subject} {verb} {' '.join(rest)}"
    if verb == "does" and rest and rest[0].lower() in _THIRD_PERSON:
        return f"do you think {subject} {_THIRD_PERSON[rest[0].lower()]}{' '.join(['', *rest[1:]])}"
    return text
