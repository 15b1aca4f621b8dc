"""The words of the page, a line each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

GLOSSARY: Mapping[str, str] = MappingProxyType(
    {
        "stance": (
            "The position an answer takes on what its question asks: support (it says yes), neutral (no side), oppose (it says no). "
            "A judge gives each a probability."
        ),
        "magnitude": (
            "How far a stance moved over a run: its mean probability at the last checkpoint minus that at the first. "
            "Signed; +0.38 means 38 more answers in a hundred."
        ),
        "drift time": (
            "When it moved: the share of the run's steps after which the stance is first as far as it ever gets, give or take noise. "
            "0.1 is early, 1 is at the very end."
        ),
        "interval": (
            "Where the true value plausibly lies, given that other questions could have been asked. "
            "If it holds 0, the study cannot rule out that nothing moved."
        ),
        "q": "The share of false alarms to expect if everything with so small a value is called a drift. It corrects for the number of tests.",
        "value gap": (
            "How far the chosen and the rejected answers of a preference set differ in stance. Support-aligned: the chosen ones support. "
            "None: they differ in style only."
        ),
        "yes-saying": (
            "Agreeing with whatever is asked. Each question has a twin that asks the opposite; "
            "a model with a view supports one and opposes the other, a yes-sayer supports both."
        ),
    }
)
