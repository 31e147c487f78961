"""`python -m dashboards`: write every file of this folder that is written from another."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from agent.commands.metrics import markdown
from dashboards.dimm import DIMMS
from dashboards.grafana import as_json
from dashboards.host import HOSTS
from dashboards.retirement import RETIREMENT
from dashboards.rules import rules_file

BOARDS = (HOSTS, DIMMS, RETIREMENT)
HERE = Path(__file__).parent
RUNBOOKS = "runbooks.md"


def files(runbooks: str = RUNBOOKS) -> Iterator[tuple[Path, str]]:
    """Each file, and what is to be in it."""
    yield HERE / "METRICS.md", markdown()
    yield HERE / "rules" / "pagewarden.rules.yml", rules_file(runbooks)
    for board in BOARDS:
        text = json.dumps(as_json(board), indent=1, ensure_ascii=False)
        yield HERE / "grafana" / f"{board.uid}.json", text + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dashboards", description=__doc__)
    parser.add_argument(
        "--runbooks", default=RUNBOOKS, help="where your people find runbooks.md: an URL"
    )
    for path, text in files(parser.parse_args().runbooks):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
