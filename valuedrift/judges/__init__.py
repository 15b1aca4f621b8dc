"""Judges: who reads a prompt and a response and says which stance the response takes. See :mod:`valuedrift.judges.base`."""
