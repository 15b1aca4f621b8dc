"""What a model can do beside what it holds: tasks of lm-evaluation-harness put to checkpoints, and what changed from one to another."""
