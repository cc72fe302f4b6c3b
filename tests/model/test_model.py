"""Whatever happens to a family and its school, in any order: every answer is the oracle's, on both databases."""

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
EXAMPLES, STEPS = (20_000, 100) if FULL else (300, 50)


@pytest.fixture
def home(settings: Settings, clock: Clock) -> Iterator[Home]:
    with at_home(settings, clock) as opened:
        yield opened


@pytest.mark.full
def test_whatever_happens_every_answer_is_the_oracles(home: Home) -> None:
    settings = hypothesis.settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(lambda: Family(home), settings=settings)
