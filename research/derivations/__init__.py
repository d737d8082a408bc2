"""Ways in which one model is made from another, each a real procedure at small scale.

One module a kind; ``table.DERIVATIONS`` lists them all with the paper each comes from and whether
the fingerprint should still tell the origin. All need torch and transformers (``huref-zk[train]``);
only ``corpus`` does without them.
"""
