"""valuedrift: when, how far and by what a language model's values move during post-training.

The domain, without Prefect and without paths of its own: what is computed. See docs/concepts.md for how a question becomes a number.
"""

__version__ = "0.3.0"
