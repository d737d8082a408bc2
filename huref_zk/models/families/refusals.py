"""Types of transformers' causal models that are not read, and why: what the error says."""

REFUSALS: dict[str, str] = {}
