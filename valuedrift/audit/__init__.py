"""The value gap of a dataset: the stances of its answers, and how far chosen ones differ from rejected ones (paper, Definitions: value gap)."""
