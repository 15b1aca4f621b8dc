"""Training data: what a study names, and adapters that bring the usual shapes into one normal form."""
