from collections.abc import AsyncIterator

import pytest

from consent_service.settings import Settings
from tests.authzen import open_pdp
from tests.clock import Clock
from tests.school import School


@pytest.fixture
async def pdp(settings: Settings, clock: Clock) -> AsyncIterator[School]:
    """The service as an AuthZEN decision point, with the certification scenario's fixture."""
    async with open_pdp(settings, clock) as opened:
        yield opened
