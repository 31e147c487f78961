"""The Prometheus beside the demo reads what it is given, and is asked for what there is."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from dashboards.lint import METRICS, names_in
from emulator.demo.monitoring import GRAPHS, RULES, configuration, links
from tests.support import prometheus


@pytest.mark.parametrize("rules", [RULES, Path("/nonexistent")], ids=["checkout", "install"])
def test_prometheus_reads_its_configuration(rules: Path, tmp_path: Path, promtool: None) -> None:
    path = tmp_path / "prometheus.yml"
    path.write_text(configuration(1, 2, rules))
    done = prometheus.promtool("check", "config", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("rule files found" in done.stdout) is (rules == RULES)


@pytest.mark.parametrize("expr", [expr for graph in GRAPHS.values() for expr in graph])
def test_a_graph_is_of_metrics_that_exist(expr: str) -> None:
    assert names_in(expr)
    assert names_in(expr) <= METRICS


def test_a_link_asks_for_each_expression_of_its_graph() -> None:
    for name, url in links("http://127.0.0.1:9090").items():
        asked = parse_qs(urlsplit(url).query)
        assert tuple(asked[f"g{at}.expr"][0] for at in range(len(GRAPHS[name]))) == GRAPHS[name]
