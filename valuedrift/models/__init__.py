"""Model folders: the embedded models, resolving a reference to a folder, and loading weights with their adapters."""
