"""The SRS that a check relies on: a ceremony's, or the test SRS if the caller puts up with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huref_zk.commit.srs import Srs, ceremony_sha256, find_srs, find_test_srs, test_sha256
from huref_zk.errors import EnvironmentLacks, StepFailed

STEP = 2


def trusted_srs(descriptor: dict[str, Any], cache: Path, allow_test: bool) -> Srs:
    """The SRS in ``cache`` under which the commitment with this descriptor was made.

    The test SRS is made when it is missing. StepFailed(2) for an SRS that is neither the
    ceremony's nor, with ``allow_test``, the test one; EnvironmentLacks when it is not at hand.
    """
    k, sha256 = descriptor["domain_k"], descriptor["srs"]["sha256"]
    test = sha256 == test_sha256(k)
    if test and not allow_test:
        raise StepFailed(
            STEP,
            "committed under the TEST setup, whose secret is public: anybody can open such a "
            "commitment to anything (--allow-test-setup accepts it all the same)",
        )
    if not test and sha256 != ceremony_sha256(k):
        raise StepFailed(STEP, f"SRS {sha256[:16]} is no ceremony's that we know")
    return own_srs(descriptor, cache)


def own_srs(descriptor: dict[str, Any], cache: Path) -> Srs:
    """As trusted_srs, for an owner, who need not be convinced: whatever SRS the commitment names.

    EnvironmentLacks when it is not at hand.
    """
    k, sha256 = descriptor["domain_k"], descriptor["srs"]["sha256"]
    if sha256 == test_sha256(k):
        return find_test_srs(k, cache, make=True)
    srs = find_srs(k, cache)
    if srs.sha256 != sha256:
        raise EnvironmentLacks(
            f"the commitment was made under SRS {sha256[:16]} for k={k}; "
            f"{cache} holds {srs.sha256[:16]}"
        )
    return srs
