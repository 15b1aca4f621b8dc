"""Drift: magnitude, time and significance of a model's change of stance (paper, Definitions). See docs/statistics.md."""
