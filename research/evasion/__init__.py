"""How far a thief gets, and what it costs: damage on held-out text against what is still seen.

bench.py measures one attacked model; plan.py says which attacks at which strengths; search.py looks
for the best combination under a budget; driven.py trains weights away from their fingerprint.
"""
