"""Answers that people label, so that a judge can be checked, calibrated and corrected: drawn blind, read back, brought together."""
