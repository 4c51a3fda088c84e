"""How hard the tests search: ``make torture`` sets TOPICGEN_TORTURE=1 for those with the mark ``torture``."""

import os

import pytest

TORTURE = os.environ.get("TOPICGEN_TORTURE") == "1"

in_torture_only = pytest.mark.skipif(not TORTURE, reason="takes long: make torture")


def effort(usual: int, torture: int) -> int:
    """How much of something to try: little in every run of the tests, more in ``make torture``."""
    return torture if TORTURE else usual
