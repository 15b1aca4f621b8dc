"""The work as stages: which there are, how one is done and kept, and how a list of them is carried out as Prefect tasks."""
