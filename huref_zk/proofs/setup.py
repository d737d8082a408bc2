"""The SRS that a check relies on: a ceremony's or one that the caller names by its digest, or the
test SRS if the caller puts up with it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from huref_zk.errors import EnvironmentLacks, StepFailed
from huref_zk.srs.file import Srs, SrsId, find_srs, find_test_srs, is_trusted, kind_of

STEP = 2


def trusted_srs(
    descriptor: dict[str, Any], cache: Path, allow_test: bool, trusted: Collection[str] = ()
) -> Srs:
    """The SRS in ``cache`` under which the commitment with this descriptor was made.

    trusted: SHA-256, hex, of SRS files that the caller trusts besides the ceremony's. The test SRS
    is made when it is missing. StepFailed(2) for an SRS that is neither the ceremony's, nor named
    in ``trusted``, nor, with ``allow_test``, the test one; EnvironmentLacks when it is not at hand.
    """
    k, sha256 = descriptor["domain_k"], descriptor["srs"]["sha256"]
    kind = kind_of(k, sha256)
    if kind == "test":
        if not allow_test:
            raise StepFailed(
                STEP,
                "committed under the TEST setup, whose secret is public: anybody can open such a "
                "commitment to anything (--allow-test-setup accepts it all the same)",
            )
    elif not is_trusted(SrsId(kind, k, sha256), trusted):
        raise StepFailed(
            STEP, f"SRS {sha256[:16]} is no ceremony's that we know, nor named with --trust-srs"
        )
    return own_srs(descriptor, cache, trusted)


def own_srs(descriptor: dict[str, Any], cache: Path, trusted: Collection[str] = ()) -> Srs:
    """As trusted_srs, for an owner, who need not be convinced that a test SRS will do.

    EnvironmentLacks when it is not at hand; InputError when the file in ``cache`` is neither the
    ceremony's nor in ``trusted``.
    """
    k, sha256 = descriptor["domain_k"], descriptor["srs"]["sha256"]
    if kind_of(k, sha256) == "test":
        return find_test_srs(k, cache, make=True)
    srs = find_srs(k, cache, trusted=trusted)
    if srs.sha256 != sha256:
        raise EnvironmentLacks(
            f"the commitment was made under SRS {sha256[:16]} for k={k}; "
            f"{cache} holds {srs.sha256[:16]}"
        )
    return srs
