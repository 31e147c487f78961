"""What some tests need, and not every machine has."""

import os
from typing import NoReturn

import pytest


def missing(program: str) -> NoReturn:
    """Skip, unless this run was told that it must have the program."""
    if program in os.environ.get("PAGEWARDEN_REQUIRE", ""):
        pytest.fail(f"PAGEWARDEN_REQUIRE names {program}, and it is not installed")
    pytest.skip(f"{program} is not installed")
