"""V-PRISM: probes made of real users' opening prompts (paper, Protocol: evaluation prompts).

    prompts ─▶ rewrite ─▶ embed ─▶ keep the value-laden ─▶ cluster into topics ─▶ a diverse sample of each ─▶ probes

One step a file; what became of every prompt is kept as a decision with its reason.
"""
