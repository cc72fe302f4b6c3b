"""Days at the school, up to the calendar's ends."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from consent_service.core.instants import local_date


def test_a_day_is_that_of_the_schools_wall() -> None:
    assert local_date(datetime(2026, 11, 23, 15, tzinfo=UTC), ZoneInfo("Asia/Tokyo")) == date(2026, 11, 24)


def test_the_calendars_ends_have_a_day_in_every_zone() -> None:
    assert local_date(datetime.min.replace(tzinfo=UTC), ZoneInfo("America/New_York")) == date.min
    assert local_date(datetime.max.replace(tzinfo=UTC), ZoneInfo("Asia/Tokyo")) == date.max
