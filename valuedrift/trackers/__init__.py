"""Trackers: TensorBoard, MLflow, Weights & Biases and others show how values move beside what a training logs, with its steps as axis."""
