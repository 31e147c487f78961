"""What every test may ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import prometheus
from tests.support.mosquitto import PROGRAM, Mosquitto
from tests.support.needs import missing

# No test fails for being slow: machines are shared. A failing example prints how to replay it.
settings.register_profile("pagewarden", deadline=None, print_blob=True)
settings.load_profile("pagewarden")


@pytest.fixture
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """A running broker; `.stop()`, `.kill()` and `.start()` are the test's to call."""
    if PROGRAM is None:
        missing("mosquitto")
    broker = Mosquitto(Path(tmp_path_factory.mktemp("mosquitto")))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def promtool() -> None:
    """Prometheus and its promtool are there: see `tests.support.prometheus`."""
    if prometheus.PROGRAM is None or prometheus.PROMTOOL is None:
        missing("prometheus")
