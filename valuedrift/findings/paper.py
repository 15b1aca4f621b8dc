"""The findings of *Value Drifts* (Bhatia et al. 2025, arXiv 2510.26707), as they are reported, each with its check."""

from __future__ import annotations

from valuedrift.findings.checks import ALIGNED, amplifies_most, drives_up, early, favoured_more, little, moves_later, moves_less, sft_larger
from valuedrift.findings.registry import EARLY, Finding, Verdict
from valuedrift.findings.tables import Tables
from valuedrift.stance import LITTLE

_SOURCE = "Value Drifts (arXiv 2510.26707), as reported at second hand"
_LITTLE = (
    f"Seen if the interval of every stance, over all topics, lies within ±{LITTLE:.2f} and no single (topic, stance) is shown to move further; "
    f"not seen if one is shown to."
)
_UP = f"Seen if the interval over all topics lies above 0; not seen if it lies below {LITTLE:.2f}."

FINDINGS: tuple[Finding, ...] = (
    Finding(
        id="sft-neutral-up",
        statement="SFT on mostly neutral answers drives neutral up.",
        source=f"{_SOURCE}: WildChat, about 72% neutral answers",
        rule=_UP,
        check=drives_up("neutral"),
    ),
    Finding(
        id="sft-support-up",
        statement="SFT on mostly supporting answers drives support up.",
        source=f"{_SOURCE}: Alpaca, about 67% supporting answers",
        rule=_UP,
        check=drives_up("support"),
    ),
    Finding(
        id="sft-early",
        statement="SFT moves values early in training.",
        source=f"{_SOURCE}: SFT, drift time 0.09",
        rule=f"Seen if most drifts beyond ±{LITTLE:.2f} have a drift time of at most {EARLY:g} with their whole interval; not seen if most lie beyond it so.",
        check=early,
    ),
    Finding(
        id="no-gap-little",
        statement="Preference optimization without a value gap moves values little.",
        source=f"{_SOURCE}: PPO, DPO and SimPO on UltraFeedback",
        rule=_LITTLE,
        check=little((), ("none",), "No preference run is on a set that is known to have no value gap."),
    ),
    Finding(
        id="sft-over-no-gap",
        statement="SFT moves values further than preference optimization on data without a value gap.",
        source=f"{_SOURCE}: SFT against preference optimization",
        rule=(
            "Seen if the interval of SFT's largest drift lies beyond those of all drifts of the run that continues it; "
            "not seen if the largest of those lies beyond SFT's."
        ),
        check=sft_larger,
    ),
    Finding(
        id="gap-dpo-most",
        statement="With a value gap, DPO amplifies the chosen stance most.",
        source=f"{_SOURCE}: synthetic preferences, DPO",
        rule=(
            "Seen if DPO raises the chosen stance, and more than every rival does, each with its whole interval; "
            f"not seen if a rival raises it more, or DPO by less than {LITTLE:.2f}."
        ),
        check=amplifies_most,
    ),
    Finding(
        id="gap-favoured",
        statement="With a value gap, DPO amplifies more where SFT already favoured the chosen stance.",
        source=f"{_SOURCE}: synthetic preferences, DPO",
        rule="Seen if the drifts after the two SFT runs differ that way with intervals apart; not seen if the other way.",
        check=favoured_more,
    ),
    Finding(
        id="gap-simpo-less",
        statement="With a value gap, SimPO moves values less than DPO.",
        source=f"{_SOURCE}: synthetic preferences, SimPO",
        rule="Seen if the paired difference lies below 0 with its whole interval; not seen if above.",
        check=moves_less,
    ),
    Finding(
        id="gap-simpo-later",
        statement="With a value gap, SimPO moves values later than DPO.",
        source=f"{_SOURCE}: synthetic preferences, SimPO, drift time 0.34",
        rule="Seen if SimPO's drift time lies above DPO's with intervals apart in most topics where both moved; not seen if below.",
        check=moves_later,
    ),
    Finding(
        id="gap-ppo-little",
        statement="With a value gap, PPO hardly moves values.",
        source=f"{_SOURCE}: synthetic preferences, PPO",
        rule=_LITTLE,
        check=little(("ppo",), tuple(ALIGNED), "No PPO run is on a preference set with a value gap."),
    ),
)


def evaluate(tables: Tables) -> list[tuple[Finding, Verdict]]:
    """Check every finding against a study.

    Args:
        tables: The study.

    Returns:
        Each finding with its verdict, in the order of ``FINDINGS``.
    """
    return [(finding, finding.check(tables)) for finding in FINDINGS]
