"""`python -m tests.simulation`: live many lives, or one with its whole trace; see README.md."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

from tests.simulation import plants, systematic
from tests.simulation.life import Outcome, live
from tests.simulation.plan import plan_of

SEEDS = Path(__file__).with_name("seeds.txt")
PLANT_LIVES = 200  # within which each planted bug must be found
TOLD_SECONDS = 2.0  # between two words on how it goes

Work = TypeVar("Work")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 if nothing was found, and with plants, if each of them was."""
    options = _options(arguments)
    if options.plant:
        names = list(plants.PLANTS) if options.plant == "all" else [options.plant]
        return _plant(names, options.lives or PLANT_LIVES, as_json=options.json)
    if options.seed is not None:
        return _replay(options.seed)
    return _live(options.lives or 100, options.first, as_json=options.json)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one life, with its whole trace")
    parser.add_argument("--lives", type=int, help="how many lives (100), or at most for each plant")
    parser.add_argument("--first", type=int, default=0, help="the seed to begin with")
    parser.add_argument(
        "--plant", choices=[*plants.PLANTS, "all"], help="plant this bug: is it found?"
    )
    parser.add_argument("--json", action="store_true", help="say it for a machine")
    return parser.parse_args(arguments)


def regressions() -> list[int]:
    """The seeds that once found something."""
    lines = SEEDS.read_text(encoding="utf-8").splitlines()
    return [int(line.split("#")[0]) for line in lines if line.split("#")[0].strip()]


def _replay(seed: int) -> int:
    outcome = live(plan_of(seed), traced=True)
    _tell(*outcome.lines)
    _tell(_summary([outcome]))
    return bool(outcome.found)


def _live(lives: int, first: int, *, as_json: bool) -> int:
    began = time.monotonic()
    seeds = [*regressions(), *range(first, first + lives)]
    step = _step(lives)
    cuts = [cut for story in systematic.STORIES for cut in systematic.every_cut(story, step)]
    outcomes = [*_all(_one, seeds, "lives"), *_all(systematic.lived, cuts, "power cuts")]
    failed = [outcome for outcome in outcomes if outcome.found]
    if as_json:
        _tell(json.dumps(_for_machines(outcomes, time.monotonic() - began)))
    else:
        for outcome in failed:
            _tell(f"{outcome.name}: {outcome.found[0]}")
        _tell(f"{_summary(outcomes)}, in {time.monotonic() - began:.0f} s")
    return bool(failed)


def _step(lives: int) -> int:
    """Few lives, few cuts: every line only in a long run."""
    return 1 if lives >= 500 else 7


def _one(seed: int) -> Outcome:
    return live(plan_of(seed))


def _all(lived: Callable[[Work], Outcome], works: Sequence[Work], what: str) -> Iterator[Outcome]:
    """The outcomes in their order, as fast as this machine can."""
    began = told = time.monotonic()
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        for number, outcome in enumerate(pool.map(lived, works, chunksize=4), 1):
            if outcome.found or time.monotonic() - told > TOLD_SECONDS:
                told = time.monotonic()
                rate = number / (told - began)
                word = f": {outcome.name} FAILED" if outcome.found else ""
                _say(f"{number} of {len(works)} {what}, {rate:.1f} a second{word}")
            yield outcome


def _say(what: str) -> None:
    """How it goes; what came of it is told on stdout."""
    sys.stderr.write(f"{what}\n")


def _tell(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def _summary(outcomes: Iterable[Outcome]) -> str:
    done = list(outcomes)
    return (
        f"{len(done)} lives of {sum(o.days for o in done):,.0f} days, "
        f"{sum(o.calls for o in done):,} calls, {sum(o.cases for o in done):,} cases, "
        f"{sum(o.starts for o in done):,} starts of the agent: "
        f"{sum(bool(o.found) for o in done)} failed"
    )


def _for_machines(outcomes: Sequence[Outcome], seconds: float) -> dict[str, object]:
    return {
        "lives": len(outcomes),
        "seconds": round(seconds, 1),
        "days": round(sum(outcome.days for outcome in outcomes)),
        "failed": [
            {
                "life": outcome.name,
                "checker": outcome.found[0].checker,
                "what": outcome.found[0].what,
            }
            for outcome in outcomes
            if outcome.found
        ],
    }


def _plant(names: Sequence[str], lives: int, *, as_json: bool) -> int:
    rows = [plants.hunt(name, lives) for name in names]
    if as_json:
        _tell(json.dumps([row.for_machines() for row in rows]))
    else:
        _tell(*(row.told() for row in rows))
    return any(row.seed is None for row in rows)


if __name__ == "__main__":
    sys.exit(main())
