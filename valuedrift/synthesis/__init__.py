"""Preference pairs with a value gap that is dialled, for controlled studies (paper, Protocol: synthetic preferences).

Questions are answered in every stance, each answer is judged and kept only when its stance is right, and pairs are made of them so that the audited value gap
is the one that was asked for. What comes out is synthetic and says so in every row; docs/synthesis.md says what it must not be used for.
"""
