"""Engines: sampling answers and scoring options on a model at one checkpoint (transformers on any machine, vLLM on GPUs)."""
