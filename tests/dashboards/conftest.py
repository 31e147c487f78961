"""A day of three emulated hosts in a real Prometheus: loaded once, asked by all."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from dashboards.__main__ import HERE
from dashboards.proof import Asked
from tests.dashboards.history import CHARACTERS, END, SCRAPE_SECONDS
from tests.support.prometheus import Prometheus
from tests.support.prometheus import promtool as tool

ROOT = HERE.parent


@pytest.fixture(scope="session")
def a_day(promtool: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    folder = tmp_path_factory.mktemp("prometheus")
    files = {name: folder / f"{name}.om" for name in CHARACTERS}
    living = [
        subprocess.Popen((sys.executable, "-m", "tests.dashboards.history", name, path), cwd=ROOT)
        for name, path in files.items()
    ]
    assert [life.wait() for life in living] == [0] * len(living)
    for path in files.values():
        done = tool("tsdb", "create-blocks-from", "openmetrics", path, folder / "data")
        assert done.returncode == 0, done.stderr
        path.unlink()
    prometheus = Prometheus(folder)
    prometheus.start()
    yield Asked(prometheus.url, END, scrape_seconds=SCRAPE_SECONDS)
    prometheus.stop()
