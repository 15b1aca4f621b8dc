"""Checkpoints that something else trains: where they lie, which of them are whole, and what is said of their drift."""
