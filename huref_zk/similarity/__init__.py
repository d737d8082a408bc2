"""Comparing models: which tokens, which layers, how alike, and how surprising that is."""
