"""What ``import valuedrift as vd`` gives: tables as polars frames, figures on an axis of one's own, checkpoints traced from Python. Knows no Prefect."""
