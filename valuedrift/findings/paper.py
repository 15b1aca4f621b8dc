"""The findings of *Value Drifts* (Bhatia et al. 2025, arXiv 2510.26707), as they are reported, each with its check."""

from __future__ import annotations

from valuedrift.findings.checks import amplifies_most, drives_up, early, favoured_more, little, moves_later, moves_less, sft_larger
from valuedrift.findings.registry import EARLY, LITTLE, Finding, Verdict
from valuedrift.findings.tables import Tables

_SOURCE = "Value Drifts (arXiv 2510.26707)"
_LITTLE = (
    f"Seen if the interval of every stance, over all topics, lies within ±{LITTLE:.2f} and no single (topic, stance) is shown to move further; "
    f"not seen if one is shown to."
)
_UP = f"Seen if the interval over all topics lies above 0; not seen if it lies below {LITTLE:.2f}."

FINDINGS: tuple[Finding, ...] = (
    Finding("sft-neutral-up", "SFT on mostly neutral answers drives neutral up.", f"{_SOURCE}: WildChat, about 72% neutral answers", _UP, drives_up("neutral")),
    Finding("sft-support-up", "SFT on mostly supporting answers drives support up.", f"{_SOURCE}: Alpaca, about 67% supporting answers", _UP, drives_up("support")),
    Finding(
        "sft-early", "SFT moves values early in training.", f"{_SOURCE}: SFT, drift time 0.09",
        f"Seen if most drifts beyond ±{LITTLE:.2f} have a drift time of at most {EARLY:g} with their whole interval; not seen if most are later with their whole interval.", early,
    ),
    Finding(
        "no-gap-little", "Preference optimization without a value gap moves values little.", f"{_SOURCE}: PPO, DPO and SimPO on UltraFeedback", _LITTLE,
        little((), ("none",), "No preference run is on a set that is known to have no value gap."),
    ),
    Finding(
        "sft-over-no-gap", "SFT moves values further than preference optimization on data without a value gap.", f"{_SOURCE}: SFT against preference optimization",
        "Seen if the interval of SFT's largest drift lies beyond those of all drifts of the run that continues it; not seen if the largest of those lies beyond SFT's.", sft_larger,
    ),
    Finding(
        "gap-dpo-most", "With a value gap, DPO amplifies the chosen stance most.", f"{_SOURCE}: synthetic preferences, DPO",
        f"Seen if DPO raises the chosen stance, and more than every rival does, each with its whole interval; not seen if a rival raises it more, or DPO by less than {LITTLE:.2f}.",
        amplifies_most,
    ),
    Finding(
        "gap-favoured", "With a value gap, DPO amplifies more where SFT already favoured the chosen stance.", f"{_SOURCE}: synthetic preferences, DPO",
        "Seen if the drifts after the two SFT runs differ that way with intervals apart; not seen if the other way.", favoured_more,
    ),
    Finding(
        "gap-simpo-less", "With a value gap, SimPO moves values less than DPO.", f"{_SOURCE}: synthetic preferences, SimPO",
        "Seen if the paired difference lies below 0 with its whole interval; not seen if above.", moves_less,
    ),
    Finding(
        "gap-simpo-later", "With a value gap, SimPO moves values later than DPO.", f"{_SOURCE}: synthetic preferences, SimPO, drift time 0.34",
        "Seen if SimPO's drift time lies above DPO's with intervals apart in most topics where both moved; not seen if below.", moves_later,
    ),
    Finding(
        "gap-ppo-little", "With a value gap, PPO hardly moves values.", f"{_SOURCE}: synthetic preferences, PPO", _LITTLE,
        little(("ppo",), ("support-aligned", "oppose-aligned"), "No PPO run is on a preference set with a value gap."),
    ),
)  # fmt: skip


def evaluate(tables: Tables) -> list[tuple[Finding, Verdict]]:
    """Check every finding against a study.

    Args:
        tables: The study.

    Returns:
        Each finding with its verdict, in the order of ``FINDINGS``.
    """
    return [(finding, finding.check(tables)) for finding in FINDINGS]
