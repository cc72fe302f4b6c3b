import pytest

from consent_service.settings import Settings
from tests.clock import Clock
from tests.school import open_school

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_client_past_its_rate_gets_429_and_the_others_do_not(settings: Settings, clock: Clock) -> None:
    limited = settings.model_copy(update={"rate_limit": "3/hour"})
    async with open_school(limited, clock) as school:
        body = {"subject": "person:1", "purpose": "billing"}
        statuses = [(await school.post("/v1/check", body)).status_code for _ in range(4)]
        refused = await school.post("/v1/check", body)
        assert statuses == [200, 200, 200, 429]
        assert refused.json()["code"] == "too_many_requests"
        assert refused.headers["retry-after"] == "1"
        assert (await school.http.get("/livez")).status_code == 200
        assert (await school.http.get("/v1/policy")).status_code == 200
