"""What the tests with real processes may ask for."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.line import Line
from tests.support.mosquitto import Mosquitto


@pytest.fixture
def line(mosquitto: Mosquitto) -> Iterator[Line]:
    """Broker, emulated host and agent as real processes; closed when the test is over."""
    with tempfile.TemporaryDirectory(prefix="pw") as folder:
        line = Line(Path(folder), mosquitto)
        yield line
        line.close()
