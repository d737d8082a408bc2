"""The malicious prover: one named deviation a function, honest in everything else.

    steps        the cheat that each single step of the verifier is there to refuse
    owner        an owner without a circuit, for what concerns the projection proof alone
    adaptive     a prover who learns a challenge before it has said everything
    halo2        deviations in the Halo2 part
    setup_secret a prover who knows the setup's tau

Deviations in one step of the projection proof are tests/support/cheats.py's, wrong circuits are
soundness/mutants.py's. What a cheat is tried on, and its control, stands in the tests beside this
folder.
"""
