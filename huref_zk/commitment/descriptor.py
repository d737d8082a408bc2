"""The descriptor: everything public about what was committed, and which matrices that makes.

As canonical JSON (every field required, no others):

    recipe      how the model became cores: "whole", "last-two" or "official"
    model       at most 32 facts, text or integers; "hidden_size" is d
    layers      numbers of the layers that the cores are of, rising
    tokens      {"count": K, "digest": SHA-256 hex of the K ids as little-endian int64,
                 "choice": "common", "rare" or "given"}
    scales      a number as text for each quantised block: the integer n stands for n / scale
    audited     [{"layer": l, "attention": columns of Wq, "ffn": columns of Wup}, ...]: layers whose
                own matrices are committed besides
    output      1 if the K rows of the output matrix are committed besides, else 0
    checkpoint  salted SHA-256 of the model's tensors, hex (invariants/prepare.py)
    public      1 if there is no secret, all salts being zero; else 0
    srs         {"kind": "ceremony" | "test" | "named", "k": k, "sha256": hex}; 2^k is the domain
    ezkl        version that made the commitments

The matrices follow, in this order: E, the core sets (C, or C0 and C1), for each audited layer l
qv<l>, ko<l>, up<l>, gate<l>, down<l>, and O. Each row ends in salts (salts.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from huref_zk.commitment.salts import E_SALTS, SALTS
from huref_zk.errors import InputError
from huref_zk.files.container import canonical_json
from huref_zk.files.fields import (
    facts,
    hex_digits,
    integer,
    integers,
    members,
    number,
    one_of,
    text,
    texts,
)
from huref_zk.srs.name import SRS_KINDS, SrsName

CORE_SETS = {"whole": ("C",), "last-two": ("C0", "C1"), "official": ("C0", "C1")}
CHOICES = ("common", "rare", "given")
MAX_ROWS = 1 << 17
"""Rows of the largest commitment that is read."""
MIN_TOKENS = 50
"""The fewest tokens whose 48 balanced sketch rows can be independent: fewer would leave a picture
only a handful of forms, whatever the model."""
MAX_HIDDEN = 1 << 15
MAX_COLUMNS = 1 << 20
MAX_LAYERS = 1 << 12
MAX_AUDITED = 16
MAX_DOMAIN_K = 26
RESERVED = 16
"""Rows that Halo2 keeps at the bottom of a column, at most."""


@dataclass(frozen=True)
class Matrix:
    """A committed matrix: rows of ``columns`` integers and ``salts`` field elements each."""

    name: str
    rows: int
    columns: int
    salts: int


@dataclass(frozen=True)
class Tokens:
    """count: K; digest: see token_digest; choice: how they were chosen, one of CHOICES."""

    count: int
    digest: str
    choice: str


@dataclass(frozen=True)
class Audited:
    """A layer whose matrices are committed: its number, columns of Wq (all heads) and of Wup."""

    layer: int
    attention: int
    ffn: int


@dataclass(frozen=True)
class Descriptor:
    """See the module's head."""

    recipe: str
    model: dict[str, int | str]
    layers: tuple[int, ...]
    tokens: Tokens
    scales: dict[str, str]
    checkpoint: str
    srs: SrsName
    ezkl: str
    audited: tuple[Audited, ...] = ()
    output: bool = False
    public: bool = False

    @property
    def hidden(self) -> int:
        """d."""
        return int(self.model["hidden_size"])

    @property
    def core_sets(self) -> tuple[str, ...]:
        """Names of the core matrices."""
        return CORE_SETS[self.recipe]

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """What is committed, in order."""
        d, count = self.hidden, self.tokens.count
        found = [Matrix("E", count, d, E_SALTS)]
        found += [Matrix(name, d, core_columns(d), SALTS) for name in self.core_sets]
        for part in self.audited:
            columns = dict.fromkeys(("qv", "ko"), 2 * part.attention)
            columns |= dict.fromkeys(("up", "gate", "down"), part.ffn)
            found += [Matrix(f"{m}{part.layer}", d, wide, SALTS) for m, wide in columns.items()]
        if self.output:
            found.append(Matrix("O", count, d, SALTS))
        return tuple(found)

    def matrix(self, name: str) -> Matrix:
        """The matrix of this name. InputError if there is none."""
        for found in self.matrices:
            if found.name == name:
                return found
        known = ", ".join(m.name for m in self.matrices)
        raise InputError(f"the commitment has no matrix {name[:20]!r}; it has {known}")

    def to_json(self) -> dict[str, Any]:
        """The object that is written."""
        return {
            **asdict(self),
            "layers": list(self.layers),
            "audited": [asdict(part) for part in self.audited],
            "output": int(self.output),
            "public": int(self.public),
        }

    def to_bytes(self) -> bytes:
        """Canonical JSON: what root and challenges bind."""
        return canonical_json(self.to_json())


def block_length(hidden: int) -> int:
    """e: entries of a block of a core's row, and of a row of E with its salts."""
    return hidden + E_SALTS


def core_columns(hidden: int) -> int:
    """Integers of a row of a core matrix: three blocks, less the salts that end the last."""
    return 3 * block_length(hidden) - SALTS


def token_digest(ids: np.ndarray | Sequence[int]) -> str:
    """SHA-256, hex, of token ids as little-endian int64."""
    return hashlib.sha256(np.asarray(ids).astype("<i8").tobytes()).hexdigest()


def parse_descriptor(value: Any) -> Descriptor:
    """The descriptor in ``value``, an object read from JSON. InputError for anything else."""
    what = "the descriptor"
    d = members(value, [field.name for field in fields(Descriptor)], what)
    model = facts(d["model"], f"{what}'s model")
    integer(model.get("hidden_size"), f"{what}'s model.hidden_size", 1, MAX_HIDDEN)
    layers = integers(d["layers"], f"{what}'s layers", MAX_LAYERS, 0, 1 << 16)
    tokens = members(d["tokens"], ("count", "digest", "choice"), f"{what}'s tokens")
    srs = members(d["srs"], ("kind", "k", "sha256"), f"{what}'s srs")
    if not isinstance(d["audited"], list) or len(d["audited"]) > MAX_AUDITED:
        raise InputError(f"{what}'s audited must be a list of at most {MAX_AUDITED} layers")
    found = Descriptor(
        recipe=one_of(d["recipe"], f"{what}'s recipe", tuple(CORE_SETS)),
        model=model,
        layers=layers,
        tokens=Tokens(
            integer(tokens["count"], f"{what}'s tokens.count", MIN_TOKENS, MAX_ROWS),
            hex_digits(tokens["digest"], f"{what}'s tokens.digest"),
            one_of(tokens["choice"], f"{what}'s tokens.choice", CHOICES),
        ),
        scales=texts(d["scales"], f"{what}'s scales", 64, 32),
        audited=tuple(_audited(part, f"{what}'s audited") for part in d["audited"]),
        output=bool(integer(d["output"], f"{what}'s output", 0, 1)),
        checkpoint=hex_digits(d["checkpoint"], f"{what}'s checkpoint"),
        public=bool(integer(d["public"], f"{what}'s public", 0, 1)),
        srs=SrsName(
            one_of(srs["kind"], f"{what}'s srs.kind", SRS_KINDS),
            integer(srs["k"], f"{what}'s srs.k", 1, MAX_DOMAIN_K),
            hex_digits(srs["sha256"], f"{what}'s srs.sha256"),
        ),
        ezkl=text(d["ezkl"], f"{what}'s ezkl", 32),
    )
    check_descriptor(found)
    return found


def check_descriptor(d: Descriptor) -> None:
    """InputError unless the parts of a descriptor fit together."""
    for name, value in d.scales.items():
        number(value, f"the descriptor's scales.{name}", 1e-300, 1e300)
    if list(d.layers) != sorted(set(d.layers)):
        raise InputError("the descriptor's layers must rise")
    if d.tokens.count % 2:
        raise InputError("the descriptor's tokens.count must be even: sketch rows are balanced")
    if len({part.layer for part in d.audited}) != len(d.audited):
        raise InputError("the descriptor names an audited layer twice")
    if sum(m.rows for m in d.matrices) > MAX_ROWS:
        raise InputError(f"the descriptor implies more than {MAX_ROWS} rows")
    for m in d.matrices:
        if m.columns + m.salts > (1 << d.srs.k) - RESERVED:
            raise InputError(
                f"a row of {m.name} has {m.columns + m.salts} entries; "
                f"a domain of 2^{d.srs.k} rows does not hold them"
            )


def _audited(value: Any, what: str) -> Audited:
    part = members(value, ("layer", "attention", "ffn"), what)
    return Audited(
        integer(part["layer"], f"{what}.layer", 0, 1 << 16),
        integer(part["attention"], f"{what}.attention", 1, MAX_COLUMNS),
        integer(part["ffn"], f"{what}.ffn", 1, MAX_COLUMNS),
    )
