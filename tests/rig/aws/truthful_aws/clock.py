"""Virtual time, one clock for each account."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timezone


class Clock:
    """Runs `rate` times as fast as the wall's clock and can be moved forward.

    Nothing in this package runs in the background: states are worked out from this clock when somebody asks, so a jump
    of 60 days costs what a jump of a second costs.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._base = self._wall = time.time()
        self._rate = 1.0
        # Starts at 1 so that a follower that has seen nothing yet can ask for "after=0" and is answered at once.
        self._version = 1

    def now(self) -> float:
        """Seconds since the epoch, virtually."""
        with self._changed:
            return self._now()

    def _now(self) -> float:
        return self._base + (time.time() - self._wall) * self._rate

    def change(self, advance: float = 0.0, rate: float | None = None) -> None:
        """Jumps forward and/or changes the pace; wakes everyone who follows the clock."""
        if advance < 0 or (rate is not None and rate < 0):
            raise ValueError("time can't run backwards")
        with self._changed:
            self._base, self._wall = self._now() + advance, time.time()
            self._rate = self._rate if rate is None else rate
            self._version += 1
            self._changed.notify_all()

    def reset(self) -> None:
        """Back to the wall's time at its pace."""
        with self._changed:
            self._base = self._wall = time.time()
            self._rate = 1.0
            self._version += 1
            self._changed.notify_all()

    def read(self, after: int | None = None, wait: float = 0.0, ahead: float = 0.0) -> dict:
        """What a follower gets; with `after`, only once the clock differs from that version or `wait` has passed.

        `ahead` is for a follower whose clock is to be wrong by so many seconds.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._version != after, timeout=wait if after is not None else 0)
            return {"now": rfc3339(self._now() + ahead), "rate": self._rate, "version": self._version}


def rfc3339(seconds: float) -> str:
    """With microseconds: a follower at a high rate would see coarser times standing still."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
