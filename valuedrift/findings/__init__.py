"""The paper's qualitative findings as checks of a study's tables (``registry.evaluate``)."""
