"""How hard the state machines try: `PAGEWARDEN_EXAMPLES` lives of 50 steps each.

A developer's run is short, continuous integration's is longer, and `make sim` takes its time. The
lives differ from run to run; a failing one prints how to replay it.
"""

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("PAGEWARDEN_EXAMPLES", "60"))
STEPS = 50


def thorough() -> settings:
    """For a state machine's `TestCase`; asked for late, because it builds on the profile."""
    return settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
