"""Decoding with a transformers model: a loop over slots that is proved against plain forward passes, draws, and scores of options."""
