"""What a thief may do to a checkpoint: rewrites that keep its function, and cheap ones that do not.

    from huref_zk.attacks import ATTACKS, attack, read_checkpoint, write_checkpoint

    write_checkpoint(folder, attack("ffn-scaling", read_checkpoint("demo-base"), seed=1))

Every attack takes a checkpoint of the LLaMA type (llama, mistral, qwen2; grouped heads, biases,
tied or untied output) and a numpy generator, and returns a new checkpoint. docs/attacks.md has the
maths.
"""

from __future__ import annotations

from huref_zk.attacks.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from huref_zk.attacks.entry import Attack, Strength
from huref_zk.attacks.table import ATTACKS, attack

__all__ = [
    "ATTACKS",
    "Attack",
    "Checkpoint",
    "Strength",
    "attack",
    "read_checkpoint",
    "write_checkpoint",
]
