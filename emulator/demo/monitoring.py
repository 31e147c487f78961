"""A Prometheus beside the demo: what it scrapes, and what to look at in it.

The agent's page and the emulated host's truth bear the same `instance`, so that one graph has both.
"""

import json
import shutil
from pathlib import Path
from urllib.parse import urlencode

SCRAPE_INTERVAL = "1s"  # a demo is over in minutes

# Of a checkout; an install has no dashboards.
RULES = Path(__file__).parents[2] / "dashboards" / "rules"

GRAPHS = {
    "errors, counted and true": (
        "sum(pagewarden_memory_errors_total)",
        "sum(pagewarden_truth_errors_total)",
    ),
    "pages out of use, said and true": (
        'pagewarden_cases{state="retired"}',
        'pagewarden_truth_frames{state="offlined"}',
    ),
    "cases": ("pagewarden_cases > 0",),
    "pauses of guests": (
        "pagewarden_guest_pause_seconds_sum",
        "pagewarden_guest_pause_seconds_count",
    ),
}


def prometheus_program() -> str | None:
    """Where Prometheus is installed, if it is."""
    return shutil.which("prometheus")


def configuration(agent_port: int, truth_port: int, rules: Path = RULES) -> str:
    """What Prometheus is to do, as YAML (and JSON is YAML)."""
    return json.dumps(
        {
            "global": {"scrape_interval": SCRAPE_INTERVAL, "evaluation_interval": "5s"},
            "rule_files": [str(rules / "*.yml")] if rules.is_dir() else [],
            "scrape_configs": [
                _scraped("pagewarden", agent_port),
                _scraped("pagewarden-truth", truth_port),
            ],
        }
    )


def _scraped(job: str, port: int) -> dict[str, object]:
    target = {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": "hv-1"}}
    return {"job_name": job, "static_configs": [target]}


def command(program: str, folder: Path, port: int) -> tuple[str, ...]:
    """With its configuration, and all that it keeps, in `folder`."""
    return (
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    )


def links(url: str) -> dict[str, str]:
    """What to look at in the Prometheus at `url`."""
    return {name: f"{url}/graph?{urlencode(_graph(*exprs))}" for name, exprs in GRAPHS.items()}


def _graph(*exprs: str) -> dict[str, str]:
    """One below the other, of the last five minutes."""
    asked: dict[str, str] = {}
    for at, expr in enumerate(exprs):
        asked |= {f"g{at}.expr": expr, f"g{at}.tab": "0", f"g{at}.range_input": "5m"}
    return asked
