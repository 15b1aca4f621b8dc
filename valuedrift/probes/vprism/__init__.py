"""V-PRISM: probes made of real users' opening prompts (paper, Protocol: evaluation prompts).

    prompts ─▶ rewrite ─▶ embed ─▶ keep the value-laden ─▶ sort into topics ─▶ a diverse sample of each ─▶ probes

What became of every prompt is kept as a decision with its reason.
"""
