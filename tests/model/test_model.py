"""Whatever happens to a family and its school, in any order: every answer is the oracle's, on both databases.

In the suite the examples are new ones at each run; `make model` takes many, in parts whose seeds are their numbers.
"""

import os
from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import run_state_machine_as_test

from consent_service.settings import Settings
from tests.clock import Clock
from tests.model.family import Family
from tests.model.world import Home, at_home

FULL = bool(os.environ.get("CONSENT_TEST_FULL"))
EXAMPLES, STEPS, PARTS = (200, 100, range(100)) if FULL else (300, 50, [None])


@pytest.fixture
def home(settings: Settings, clock: Clock) -> Iterator[Home]:
    with at_home(settings, clock) as opened:
        yield opened


@pytest.mark.full
@pytest.mark.parametrize("part", PARTS)
def test_whatever_happens_every_answer_is_the_oracles(home: Home, part: int | None) -> None:
    class Example(Family):
        def __init__(self) -> None:
            super().__init__(home)

    if part is not None:
        hypothesis.seed(part)(Example)
    settings = hypothesis.settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(Example, settings=settings)
