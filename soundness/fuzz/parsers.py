"""The parsers of untrusted bytes, each with honest files to start from.

`read` takes the bytes through the parser that a command would use and on to the point from which
they are no longer bytes but checked objects. Parsers of files get a file in a scratch folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huref_zk.argument.projection_proof import parse_projection
from huref_zk.cli.shown import describe
from huref_zk.commitment.file import parse_commitment
from huref_zk.commitment.secret import read_secret
from huref_zk.comparison.saved import parse_fingerprint
from huref_zk.errors import InputError
from huref_zk.files.container import parse_canonical_json, read_container
from huref_zk.invariants.canonical import canonicalise
from huref_zk.invariants.prepare import read_token_file
from huref_zk.models.families import read_map
from huref_zk.models.load import open_model
from huref_zk.proofs.inference.file import parse_audit
from huref_zk.proofs.opening.file import parse_opening
from huref_zk.proofs.picture import file as hzp
from huref_zk.proofs.picture import verify
from huref_zk.proofs.similarity.file import parse_bundle as parse_pair
from huref_zk.render import load_generator
from huref_zk.render.image import read_png
from huref_zk.render.pickle_reader import read_pickle
from huref_zk.srs.file import Srs
from huref_zk.srs.ptau import convert, read_ptau
from huref_zk.srs.structure import check_structure
from soundness.fuzz import seeds
from soundness.small import TOKENS

Read = Callable[[bytes, Path], object]
Seeds = Callable[[Path], list[bytes]]


@dataclass(frozen=True)
class Parser:
    """read(data, scratch folder) raises HurefError or nothing; seeds(scratch folder): honest data.

    slow: about so many times slower than the others, hence tried less often.
    """

    name: str
    seeds: Seeds
    read: Read
    slow: int = 1


def _file(name: str, reader: Callable[[Path], object]) -> Read:
    def read(data: bytes, folder: Path) -> object:
        path = folder / name
        path.write_bytes(data)
        return reader(path)

    return read


def _bundle(data: bytes, folder: Path) -> None:
    bundle = hzp.parse_bundle(data)
    commitment, _ = verify._parse_inside(bundle)
    verify.shape_of(commitment)


def _pair(data: bytes, folder: Path) -> None:
    bundle = parse_pair(data)
    for committed, projection in zip(bundle.commitments, bundle.projections, strict=True):
        parse_projection(projection, parse_commitment(committed))
    verify.opening_points(bundle.proof, 65)


def _of_every_kind(folder: Path) -> list[bytes]:
    kinds = (seeds.commitment_bytes, seeds.bundle, seeds.pair, seeds.opening, seeds.audit)
    return [*(make(folder) for make in kinds), *seeds.fingerprints(folder)]


def _inspect(path: Path) -> None:
    claims, lines = describe(path)
    assert all(line.isascii() and line.isprintable() for line in lines)
    json.dumps(claims)


def _container(data: bytes, folder: Path) -> None:
    def lengths(header: dict) -> list[int]:
        numbers = list(header.values())
        if not all(type(n) is int and 0 <= n < 1 << 20 for n in numbers):
            raise InputError("lengths are numbers")
        return numbers

    read_container(data, b"HUREFUZZ", lengths)


def _srs(path: Path) -> None:
    srs = Srs.open(path)
    srs.lagrange(0, 1 << srs.k)
    check_structure(path)


def _ptau(path: Path) -> None:
    ptau = read_ptau(path)
    for k in range(1, min(ptau.power, 3) + 1):
        convert(ptau, k, path.with_suffix(".srs"))


def _pickle(data: bytes, folder: Path) -> None:
    read_pickle(memoryview(data), {"builtins set": lambda arguments: None})


def _model(path: Path) -> None:
    canonicalise(open_model(str(path)), tokens=TOKENS)


def _folder(file: str) -> Read:
    """A model's folder in which one file is not what it was."""

    def read(data: bytes, folder: Path) -> None:
        model = folder / f"fuzzed-{file}"
        if not model.exists():
            model.mkdir()
            (model / "config.json").write_bytes(seeds.config(folder))
            (model / "model.safetensors").write_bytes(seeds.weights(folder))
        (model / file).write_bytes(data)
        opened = open_model(str(model))
        canonicalise(opened, tokens=TOKENS)
        opened.vocabulary()

    return read


def _one(make: Callable[[Path], bytes]) -> Seeds:
    return lambda folder: [make(folder)]


PARSERS = {
    parser.name: parser
    for parser in (
        Parser("bundle", _one(seeds.bundle), _bundle, slow=4),
        Parser(
            "commitment", _one(seeds.commitment_bytes), lambda d, _: parse_commitment(d), slow=4
        ),
        Parser(
            "projection",
            _one(seeds.projection),
            lambda data, folder: parse_projection(data, seeds.commitment(folder)),
        ),
        Parser("similarity", _one(seeds.pair), _pair, slow=4),
        Parser("opening", _one(seeds.opening), lambda data, _: parse_opening(data)),
        Parser("inspect", _of_every_kind, _file("fuzzed.hz", _inspect), slow=4),
        Parser("audit", _one(seeds.audit), lambda data, _: parse_audit(data), slow=4),
        Parser("fingerprint", seeds.fingerprints, lambda data, _: parse_fingerprint(data)),
        Parser(
            "container",
            lambda _: [b'HUREFUZZ\0\0\0\x0d{"a":3,"b":2}abcde', b"HUREFUZZ\0\0\0\x02{}"],
            _container,
        ),
        Parser(
            "json",
            lambda _: [b'{"a":[1,{"b":"c"}],"d":-3}', b"{}"],
            lambda data, _: parse_canonical_json(data),
        ),
        Parser("png", seeds.png, _file("fuzzed.png", read_png)),
        Parser(
            "generator", _one(seeds.generator), _file("fuzzed.safetensors", load_generator), slow=2
        ),
        Parser("snapshot", seeds.snapshots, _file("fuzzed.pkl", load_generator), slow=2),
        Parser("pickle", seeds.pickles, _pickle),
        Parser("srs", seeds.srs, _file("fuzzed.srs", _srs), slow=10),
        Parser("ptau", seeds.ptau, _file("fuzzed.ptau", _ptau), slow=4),
        Parser("gguf", _one(seeds.gguf), _file("fuzzed.gguf", _model), slow=4),
        Parser("weights", _one(seeds.weights), _folder("model.safetensors"), slow=2),
        Parser("config", _one(seeds.config), _folder("config.json"), slow=2),
        Parser("index", _one(seeds.index), _folder("model.safetensors.index.json"), slow=2),
        Parser("tokenizer", seeds.tokenizers, _folder("tokenizer.json"), slow=2),
        Parser(
            "tokens",
            lambda _: [b"[3, 1, 2]", b"3\n1\n2\n"],
            _file("fuzzed.json", read_token_file),
        ),
        Parser("secret", lambda _: [bytes(range(32))], _file("fuzzed.key", read_secret)),
        Parser("map", seeds.family_maps, _file("map.json", read_map)),
    )
}
