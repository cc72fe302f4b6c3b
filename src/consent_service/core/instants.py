"""Instants: aware, UTC, whole milliseconds.

Finer fractions are cut off, never rounded up: an earlier expiry and an earlier grant are the careful side.
"""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXT_LENGTH = len("2026-11-23T02:10:11.512")
MILLISECOND = timedelta(milliseconds=1)
"""How far two instants are apart at least."""


def instant(moment: datetime) -> datetime:
    """Bring an aware datetime to UTC and cut it to the millisecond.

    Raises ValueError when `moment` is naive, since an instant without an offset is a guess, and when it lies beyond
    UTC's calendar.
    """
    if moment.tzinfo is None:
        raise ValueError("an instant needs an offset, as in 2026-11-23T09:00:00+09:00")
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("an instant lies within the years 1 to 9999, in UTC as well") from None
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def to_text(moment: datetime) -> str:
    """RFC 3339 in UTC with exactly three digits: 2026-11-23T02:10:11.512Z.

    NOTE: ledger entries are hashed with this form, so it may never change.
    """
    return moment.isoformat(timespec="milliseconds")[:_TEXT_LENGTH] + "Z"


def from_text(text: str) -> datetime:
    """Read what `to_text` wrote."""
    return datetime.fromisoformat(text)


def to_milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970-01-01T00:00:00Z."""
    return (moment - _EPOCH) // MILLISECOND


def from_milliseconds(count: int) -> datetime:
    """Read what `to_milliseconds` wrote."""
    return _EPOCH + count * MILLISECOND


def optional_milliseconds(moment: datetime | None) -> int | None:
    """The same, where there may be none."""
    return None if moment is None else to_milliseconds(moment)


def optional_instant(count: int | None) -> datetime | None:
    """Read what `optional_milliseconds` wrote."""
    return None if count is None else from_milliseconds(count)


def local_date(moment: datetime, zone: ZoneInfo) -> date:
    """The calendar day on the school's wall at this instant; UTC's where the calendar ends before the wall."""
    try:
        return moment.astimezone(zone).date()
    except OverflowError:
        return moment.date()


def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which a calendar day begins at the school."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
