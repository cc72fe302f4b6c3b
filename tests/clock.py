"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Starts on 23 November 2026 at 11:10 in Tokyo."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 2, 10, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The time."""
        return self.now

    def advance(self, **spans: float) -> None:
        """Let time pass, as timedelta counts it: seconds=1, days=3."""
        self.now += timedelta(**spans)

    async def pause(self, seconds: float) -> None:
        """Wait, as far as this clock goes."""
        self.advance(seconds=seconds)
