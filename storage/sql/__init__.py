"""The tables as SQL: views over what the manifests name, and what keeps a query from being anything else."""
