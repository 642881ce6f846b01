"""Names in zones of other people, which a test sets as they are wanted: no history, no delegation."""

from __future__ import annotations

from .names import canonical, is_under
from .zones import RecordSet

TTL = 300
# What the world has without a test's doing.
SES_POLICY = '"v=spf1 ip4:199.255.192.0/22 ip4:54.240.0.0/18 -all"'


class OtherNames:
    """What they hold, and which of them can't be resolved."""

    def __init__(self) -> None:
        self._records: dict = {}  # name -> type -> record set
        self._failures: dict = {}  # name -> SERVFAIL or SILENCE
        self.publish("amazonses.com", "TXT", [SES_POLICY])

    def publish(self, name: str, type_: str, values: list) -> None:
        """Somebody publishes these values, and nothing else of that type; none: nothing of it."""
        name = canonical(name)
        types = self._records.setdefault(name, {})
        types.pop(type_, None)
        if values:
            types[type_] = RecordSet(name, type_, TTL, tuple(values))
        if not types:
            del self._records[name]

    def fail(self, name: str, code: str | None) -> None:
        """Whoever asks for the name gets that instead of an answer; None ends it."""
        if code not in (None, "SERVFAIL", "SILENCE"):
            raise ValueError(f"a name fails with SERVFAIL or SILENCE, and not with {code}")
        self._failures[canonical(name)] = code

    def failure(self, name: str) -> str | None:
        """What stands in the place of an answer."""
        return self._failures.get(name)

    def types_at(self, name: str) -> dict | None:
        """The record sets of a name, by type; None when it does not exist. One that only has something below it does."""
        if any(is_under(one, name) for one in self._records):
            return self._records.get(name, {})
        return None
