"""Parts: heads, neurons and experts of two models, matched one by one. docs/parts.md."""
