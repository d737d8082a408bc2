"""The picture, the generator that draws it, and what the caller demands."""

from __future__ import annotations

import numpy as np
import pytest

from huref_zk.commitment.descriptor import token_digest
from huref_zk.errors import InputError
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.kernel import Policy
from huref_zk.proofs.picture.file import pixel_digest
from huref_zk.render import load_generator
from huref_zk.render.image import read_png, write_png
from tests.support.tampering import accepted, forge, judge, refused


@pytest.fixture
def picture(chain, tmp_path):
    """Writes a picture and gives its path."""

    def write(pixels):
        path = tmp_path / "picture.png"
        write_png(path, np.ascontiguousarray(pixels))
        return path

    return write


@pytest.mark.parametrize("place", [(0, 0, 0), (7, 9, 1), (15, 15, 2)])
def test_one_pixel_changed(chain, picture, place):
    """By the least a colour can change."""
    pixels = chain.pixels.copy()
    pixels[place] ^= 1
    refused(6, "^1 pixels of the picture differ", chain, chain.bundle, image=picture(pixels))
    pixels[place] ^= 1
    accepted(chain, image=picture(pixels))


def test_another_size_or_turn(chain, picture):
    p = chain.pixels
    grown = np.concatenate([p, p[-1:]])
    for other in (p[:-1], grown, p[:, :-1], p[:8, :8], p.repeat(2, axis=0).repeat(2, axis=1)):
        refused(6, "the picture is", chain, chain.bundle, image=picture(other))
    for other in (p[::-1], p[:, ::-1], p.transpose(1, 0, 2), p[..., ::-1], 255 - p):
        refused(6, "pixels of the picture differ", chain, chain.bundle, image=picture(other))
    accepted(chain, image=picture(p))


def test_another_models_picture(chain, stranger):
    refused(6, "pixels of the picture", chain, chain.bundle, image=stranger.image_file)
    assert (read_png(chain.image_file) == chain.pixels).all()
    accepted(chain, image=chain.image_file)


def test_a_picture_that_the_prover_would_rather_have(chain, picture):
    """Bound into the statement from the start, and published: it is still not what v renders to."""
    pixels = chain.pixels.copy()
    pixels[3, 3, 0] ^= 1
    wish = forge(chain, claim={"image": pixel_digest(pixels)})
    refused(6, "names another picture than v gives", chain, wish, image=picture(pixels))
    refused(6, "names another picture than v gives", chain, wish)
    honest = forge(chain, claim={"image": pixel_digest(chain.pixels)})
    accepted(chain, honest, image=picture(chain.pixels))


def test_pictures_that_are_none(chain, tmp_path):
    data = chain.image_file.read_bytes()
    path = tmp_path / "bad.png"
    for bad in (b"", b"\x89PNG", data[:-20], data[:40], b"GIF89a" + data):
        path.write_bytes(bad)
        with pytest.raises(InputError, match="PNG"):
            accepted(chain, image=path)
    with pytest.raises(InputError, match="cannot read"):
        accepted(chain, image=tmp_path / "missing.png")
    path.write_bytes(data)
    accepted(chain, image=path)


def test_another_generator(chain, other_generator_file, picture):
    refused(6, "made with generator", chain, chain.bundle, generator=other_generator_file)
    digest = load_generator(other_generator_file).digest
    named = forge(chain, claim={"generator": digest})
    refused(6, "made with generator", chain, named)
    # Even with the right name, it does not draw this picture.
    refused(6, "names another picture", chain, named, generator=other_generator_file)
    accepted(chain, generator=chain.generator_file)


# --- policy --------------------------------------------------------------------------------------


def test_another_seed_than_asked_for(chain):
    other = bytes(31) + b"\1"
    policy = Policy(seed=other)
    refused(7, "proven under seed", chain, chain.bundle, policy=policy)
    # Naming the wanted seed does not help, and neither does projecting under it alone.
    refused(4, "equation", chain, forge(chain, claim={"seed": other.hex()}), policy=policy)
    refused(5, "does not hold", chain, forge(chain, seed=other), policy=policy)
    accepted(chain, policy=Policy(seed=PUBLIC_SEED))


def test_other_layers_than_asked_for(chain):
    for layers in [(0, 1), (0, 2), (2, 1, 0), (1,), (0, 1, 2, 3), ()]:
        policy = Policy(layers=layers)
        refused(7, r"proven of layers \[0, 1, 2\]", chain, chain.bundle, policy=policy)
    accepted(chain, policy=Policy(layers=(0, 1, 2)))


def test_another_recipe_than_asked_for(chain, last_two):
    for recipe in ("last-two", "official"):
        refused(7, "recipe whole", chain, chain.bundle, policy=Policy(recipe=recipe))
    refused(7, "recipe last-two", last_two, last_two.bundle)
    accepted(last_two, policy=Policy(recipe="last-two"))
    accepted(last_two, policy=Policy(recipe=None))
    accepted(chain)


def test_a_picture_need_not_be_at_hand(chain):
    report = judge(chain, chain.bundle, image=None)
    assert "none was given to compare" in report.steps[6].detail
    assert report.facts["image"] == {"digest": chain.bundle.claim.image, "compared": False}
    assert judge(chain, chain.bundle).facts["image"]["compared"]


def test_other_tokens_than_asked_for(chain):
    ids = chain.prepared.cores.token_ids
    for other in (ids[::-1], ids[:-2], ids + 1, []):
        policy = Policy(tokens_digest=token_digest(other))
        refused(7, "other tokens", chain, chain.bundle, policy=policy)
    accepted(chain, policy=Policy(tokens_digest=token_digest(ids)))


def test_what_is_expected_must_be_a_root_or_a_commitment(chain, tmp_path):
    for bad in (tmp_path / "missing.hzc", "0" * 63, "root", chain.image_file, chain.bundle_file):
        with pytest.raises(InputError):
            accepted(chain, expected=bad)
    refused(1, "expected root", chain, chain.bundle, expected="0" * 64)
    accepted(chain, expected=chain.commitment.root_hex)
    accepted(chain, expected=chain.commitment.root_hex.upper())
