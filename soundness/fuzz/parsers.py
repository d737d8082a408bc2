"""The parsers of untrusted bytes, each with honest files to start from.

`read` takes the bytes through the parser that a command would use and on to the point from which
they are no longer bytes but checked objects. Parsers of files get a file in a scratch folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huref_zk.argument.projection import parse_projection
from huref_zk.cli.shown import describe
from huref_zk.commitment.file import parse_commitment
from huref_zk.commitment.secret import read_secret
from huref_zk.commitment.witness import read_witness
from huref_zk.comparison.saved import parse_fingerprint
from huref_zk.files.container import Format, pack, parse_canonical_json, unpack
from huref_zk.models.families import read_map
from huref_zk.models.load import open_model
from huref_zk.proofs.inference.file import parse_audit
from huref_zk.proofs.inference.logits import read_served
from huref_zk.proofs.kernel import Report
from huref_zk.proofs.opening.file import parse_opening
from huref_zk.proofs.picture import verify as pictures
from huref_zk.proofs.prepare import prepare, read_token_file
from huref_zk.proofs.similarity import verify as pairs
from huref_zk.render import load_generator
from huref_zk.render.image import read_png
from huref_zk.render.pickle_reader import read_pickle
from huref_zk.srs.file import Srs
from huref_zk.srs.ptau import convert, read_ptau
from huref_zk.srs.structure import check_structure
from soundness.fuzz import seeds
from tests.support.chain import TOKENS

FUZZ = Format("file of the fuzzer", ".fuzz", b"HUREFUZ", ("a", "b"), 1 << 20)
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
    pictures.shape_of(pictures._parse(data, Report("picture")).commitment)


def _pair(data: bytes, folder: Path) -> None:
    pairs._parse(data, Report("similarity"))


def _of_every_kind(folder: Path) -> list[bytes]:
    kinds = (
        seeds.commitment_bytes,
        seeds.witness_bytes,
        seeds.bundle,
        seeds.pair,
        seeds.opening,
        seeds.audit,
    )
    return [*(make(folder) for make in kinds), *seeds.fingerprints(folder)]


def _inspect(path: Path) -> None:
    claims, lines = describe(path)
    assert all(line.isascii() and line.isprintable() for line in lines)
    json.dumps(claims)


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
    prepare(str(path), count=TOKENS)


def _folder(file: str) -> Read:
    """A model's folder in which one file is not what it was."""

    def read(data: bytes, folder: Path) -> None:
        model = folder / f"fuzzed-{file}"
        if not model.exists():
            model.mkdir()
            (model / "config.json").write_bytes(seeds.config(folder))
            (model / "model.safetensors").write_bytes(seeds.weights(folder))
        (model / file).write_bytes(data)
        prepare(str(model), count=TOKENS)
        open_model(str(model)).vocabulary()

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
            lambda _: [seeds.projection()],
            lambda data, _: parse_projection(data, seeds.commitment().descriptor),
        ),
        Parser("witness", _one(seeds.witness_bytes), _file("fuzzed.hzw", read_witness), slow=2),
        Parser("similarity", _one(seeds.pair), _pair, slow=4),
        Parser("opening", _one(seeds.opening), lambda data, _: parse_opening(data), slow=2),
        Parser("inspect", _of_every_kind, _file("fuzzed.hz", _inspect), slow=4),
        Parser("audit", _one(seeds.audit), lambda data, _: parse_audit(data), slow=4),
        Parser("fingerprint", seeds.fingerprints, lambda data, _: parse_fingerprint(data)),
        Parser(
            "container",
            lambda _: [pack(FUZZ, {"a": 3, "b": ["c"]}, [b"abc", b""]), pack(FUZZ, {}, [b"", b""])],
            lambda data, _: unpack(FUZZ, data),
        ),
        Parser(
            "json",
            lambda _: [b'{"a":[1,{"b":"c"}],"d":-3}', b"{}"],
            lambda data, _: parse_canonical_json(data),
        ),
        Parser("png", seeds.png, _file("fuzzed.png", read_png), slow=2),
        Parser(
            "generator", _one(seeds.generator), _file("fuzzed.safetensors", load_generator), slow=4
        ),
        Parser("snapshot", seeds.snapshots, _file("fuzzed.pkl", load_generator), slow=6),
        Parser("pickle", seeds.pickles, _pickle),
        Parser("srs", seeds.srs, _file("fuzzed.srs", _srs), slow=60),
        Parser("ptau", seeds.ptau, _file("fuzzed.ptau", _ptau), slow=4),
        Parser("gguf", _one(seeds.gguf), _file("fuzzed.gguf", _model), slow=100),
        Parser("weights", _one(seeds.weights), _folder("model.safetensors"), slow=30),
        Parser("config", _one(seeds.config), _folder("config.json"), slow=20),
        Parser("index", _one(seeds.index), _folder("model.safetensors.index.json"), slow=20),
        Parser("tokenizer", seeds.tokenizers, _folder("tokenizer.json"), slow=20),
        Parser(
            "tokens",
            lambda _: [b"[3, 1, 2]", b"3\n1\n2\n"],
            _file("fuzzed.json", read_token_file),
        ),
        Parser(
            "served",
            lambda _: [b'{"0": {"1": -0.5, "2": -3}, "7": {}}'],
            _file("served.json", read_served),
        ),
        Parser("secret", lambda _: [bytes(range(32))], _file("fuzzed.key", read_secret)),
        Parser("map", seeds.family_maps, _file("map.json", read_map)),
    )
}
