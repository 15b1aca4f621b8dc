"""Inside other people's trainers: what hands their checkpoints to ``valuedrift watch``. Nothing here computes anything of a model."""
