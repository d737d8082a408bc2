"""Other fingerprints of language models, each implemented small from its paper's recipe.

One interface: a ``Rival`` prepares each model once and scores two prepared ones; the higher, the
likelier related. ``table.RIVALS`` lists them with their sources, what access to the models they
need, and where ours differ from their papers; docs/rivals.md holds the results.
"""
