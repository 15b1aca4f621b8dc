"""The tables as SQL: views over what the manifests name, and what keeps a question from being anything else."""
