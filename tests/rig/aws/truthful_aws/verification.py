"""The life of one verification: what SES would have found, had it looked at the DNS all the time."""

from __future__ import annotations

import math

from .settings import PATIENCE, RECHECK

PENDING, SUCCESS, FAILED, TEMPORARY_FAILURE = "PENDING", "SUCCESS", "FAILED", "TEMPORARY_FAILURE"


class Verification:
    """Worked out on demand from the history of the DNS, and kept as a history of its own.

    `evolve` walks from the last look to now through the times at which the DNS changed, and so a test that jumps 60 days
    sees what real time would have brought, FAILED and all. A forced status lies over the true one, which goes on
    underneath and shows again when the force is lifted.
    """

    def __init__(self, now: float) -> None:
        self._true = [(now, PENDING)]
        self._forced: list = [(now, None)]
        self.looked = now
        # Since when the records have been right, or wrong, without a break; None when they are the other.
        self._right: float | None = None
        self._wrong: float | None = None

    @property
    def status(self) -> str:
        """The latest status, as SES shows it."""
        return self._forced[-1][1] or self._true[-1][1]

    def status_at(self, at: float) -> str:
        """The status SES showed at a time that has been looked at."""
        return _latest(self._forced, at) or _latest(self._true, at) or PENDING

    @property
    def right(self) -> float | None:
        """Since when the records have been right, without a break."""
        return self._right

    @property
    def verified(self) -> float | None:
        """Since when it has been verified."""
        since, status = self._true[-1]
        return since if status == SUCCESS else None

    def times(self):
        """When the status may have changed."""
        yield from (time for time, _ in self._true)
        yield from (time for time, _ in self._forced)

    def restart(self, now: float) -> None:
        """SES starts looking again; a force is over."""
        self._true.append((now, PENDING))
        self._forced.append((now, None))
        self.looked, self._right, self._wrong = now, None, None

    def force(self, status: str | None, now: float) -> None:
        """Shows a status whatever the DNS says, until a restart; None lifts it."""
        self._forced.append((now, status))

    def evolve(self, is_right, changes: list, delay: float, now: float) -> None:
        """Catches up. `is_right(at)` tells whether the records were right; it only changes at the times given, which may
        include the time of the last look: somebody may have written after it, while time stood still."""
        known = self._right is not None or self._wrong is not None
        starts = [self.looked, *changes]
        for start, end in zip(starts, [*changes, now]):
            if known and not changes:
                pass  # It was asked at the last look.
            elif is_right(start):
                self._right, self._wrong = self._right if self._right is not None else start, None
            else:
                self._wrong, self._right = self._wrong if self._wrong is not None else start, None
            while (step := self._next(delay)) is not None and step[0] <= end:
                self._true.append(step)
        self.looked = max(now, self.looked)

    def next_step(self, delay: float) -> float:
        """When the status changes next, if the records stay as they are."""
        step = self._next(delay)
        return step[0] if step is not None else math.inf

    def _next(self, delay: float):
        """What happens next, and when, if the records stay as they are."""
        since, status = self._true[-1]
        steps = []
        if status == PENDING:
            steps = [(since + PATIENCE, FAILED)] + ([(self._right + delay, SUCCESS)] if self._right is not None else [])
        elif status == TEMPORARY_FAILURE:
            steps = [(since + PATIENCE, FAILED)] + ([(self._right + RECHECK, SUCCESS)] if self._right is not None else [])
        elif status == SUCCESS and self._wrong is not None:
            steps = [(self._wrong + RECHECK, TEMPORARY_FAILURE)]
        return min(((max(time, since), status) for time, status in steps), default=None)


def _latest(history: list, at: float):
    for time, value in reversed(history):
        if time <= at:
            return value
    return None
