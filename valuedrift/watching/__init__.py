"""Checkpoints of a training, ours or anybody's: where they lie, which of them are whole, how far they have moved, and what is to be told of it."""
