"""Hosted zones with their history, since what the public sees now was written a while ago."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from dataclasses import dataclass
from functools import cached_property

from .names import canonical, is_under, order, parents

SOA_TTL, NS_TTL = 900, 172800


@dataclass(frozen=True)
class RecordSet:
    """One resource record set; immutable, so that a zone's history can keep it."""

    name: str
    type: str
    ttl: int | None
    values: tuple
    alias: tuple | None = None  # (hosted zone id, dns name, evaluate target health)
    identifier: str | None = None
    extras: tuple = ()  # weight, region and the like, as (tag, text) pairs: kept and given back, never understood

    @property
    def key(self) -> tuple:
        """What makes two record sets the same one."""
        return self.name, self.type, self.identifier

    @cached_property
    def place(self) -> tuple:
        """Where it stands in a listing."""
        return order(self.name), self.type, self.identifier or ""


class Zone:
    """A hosted zone.

    The history is kept for each record set, not for each version of the zone, and the times of changes for each name: a
    zone may have thousands of sets and see thousands of changes, and none of them may cost what all of them are.
    """

    def __init__(self, zone_id: str, name: str, private: bool, comment: str, reference: str, now: float, public: float):
        self.id, self.name, self.private, self.comment, self.caller_reference = zone_id, name, private, comment, reference
        # When the API said so, and when the public saw it.
        self.created, self.public = now, public
        self.busy_until = now  # with a change
        self.deleted: float | None = None
        self.gone: float | None = None
        self.records: dict = {}  # as written, public or not yet
        self._history: dict = {}  # key -> [(written, public, record or None)]
        self._keys: dict = {}  # name -> the keys it ever had
        self._below: dict = {}  # name -> the names that ever were below it
        self._places: list = []  # (place, key) of what is written, in the order of a listing
        self._alive: dict = {}  # name -> how many sets are written at it and below it
        self._changes: dict = {}  # name -> when the public saw its sets change, or the name come or go, in order
        self._targets: dict = {}  # name -> where its CNAMEs and aliases ever led
        self._latest = public
        self.watchers: dict = {}  # name -> who wants to hear of its changes; public DNS has one for all of its zones
        soa = f"{self.name_servers[0]}. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"
        servers = tuple(server + "." for server in self.name_servers)
        apex = [RecordSet(name, "NS", NS_TTL, servers), RecordSet(name, "SOA", SOA_TTL, (soa,))]
        self.write({record.key: record for record in apex}, now, public)

    @cached_property
    def place(self) -> tuple:
        """Where it stands in a listing by name."""
        return order(self.name), self.id

    @property
    def name_servers(self) -> list:
        """Four of the zone's own. Zones of one name would otherwise be alike, and nobody could tell a delegation."""
        digest = hashlib.sha256(self.id.encode()).digest()
        return [
            f"ns-{(digest[2 * i] * 256 + digest[2 * i + 1]) % 512 + 512 * i}.awsdns-{digest[8 + i] % 64:02d}.{suffix}"
            for i, suffix in enumerate(("com", "net", "org", "co.uk"))
        ]

    def write(self, changed: dict, now: float, public: float) -> float:
        """Writes record sets by their keys, None for a deleted one; answers when the public sees it.

        Changes of one zone never overtake each other.
        """
        public = self._latest = max(public, self._latest)
        for key, record in changed.items():
            name, before = key[0], self.records.get(key)
            self._history.setdefault(key, []).append((now, public, record))
            self._keys.setdefault(name, set()).add(key)
            self._note(name, public)
            for parent in parents(name):
                self._below.setdefault(parent, set()).add(name)
            if record is None:
                if before is not None:
                    del self.records[key]
                    del self._places[bisect_left(self._places, (before.place,))]
                    self._count(name, -1, public)
                continue
            self.records[key] = record
            if before is None:
                insort(self._places, (record.place, key))
                self._count(name, 1, public)
            if record.alias or record.type == "CNAME":
                self._targets.setdefault(name, set()).add(canonical(record.alias[1] if record.alias else record.values[0]))
        return public

    def _count(self, name: str, more: int, public: float) -> None:
        """A name comes to be with the first set at it or below it, and goes with the last."""
        for one in (name, *parents(name)):
            before = self._alive.get(one, 0)
            self._alive[one] = before + more
            if before == 0 or before + more == 0:
                self._note(one, public)

    def _note(self, name: str, public: float) -> None:
        """The public sees a name's sets change, or the name come or go."""
        self._changes.setdefault(name, []).append(public)
        for watcher in self.watchers.get(name, ()):
            watcher.wake(public)

    def listed(self, start: tuple, count: int) -> list:
        """So many record sets from a place on, in the order of a listing."""
        first = bisect_left(self._places, (start,))
        return [self.records[key] for _, key in self._places[first : first + count]]

    def keys_at(self, name: str) -> set:
        """The keys that a name ever had."""
        return self._keys.get(name, set())

    def delete(self, now: float, public: float) -> None:
        """The zone leaves the API at once, and the public DNS when that is in sync."""
        self.deleted, self.gone = now, public
        self._note(self.name, public)

    def listed_at(self, at: float) -> bool:
        """Whether a listing that lags would show the zone."""
        return self.created <= at and (self.deleted is None or self.deleted > at)

    def is_public_at(self, at: float) -> bool:
        """Whether name servers answer for it."""
        return not self.private and self.public <= at and (self.gone is None or self.gone > at)

    def written_at(self, at: float) -> list:
        """The record sets a listing that lags would show."""
        found = (_latest(history, 0, at) for history in self._history.values())
        return [record for record in found if record is not None]

    def types_at(self, name: str, at: float) -> dict:
        """What the public saw at a name: record sets by type."""
        found = (_latest(self._history[key], 1, at) for key in sorted(self._keys.get(name, ()), key=str))
        return {record.type: record for record in found if record is not None}

    def exists_at(self, name: str, at: float) -> bool:
        """Whether the public saw the name at all. One that only has something below it exists too."""
        return any(self.types_at(one, at) for one in (name, *self._below.get(name, ())))

    def public_changes(self, name: str, since: float):
        """When what the public sees at a name may have changed, from a time on: its sets, a delegation or a wildcard above
        it, a name on the way that came or went."""
        for one in self._deciding(name):
            times = self._changes.get(one, ())
            yield from times[bisect_left(times, since) :]
        if self.gone is not None and self.gone >= since:
            yield self.gone

    def targets(self, name: str) -> set:
        """Where a name ever led, itself or by a wildcard."""
        return set().union(*(self._targets.get(one, ()) for one in self._deciding(name)))

    def _deciding(self, name: str) -> list:
        above = [parent for parent in parents(name) if is_under(parent, self.name)]
        return [name, *above, *("*." + parent for parent in above)]


def _latest(history: list, which: int, at: float):
    return next((entry[2] for entry in reversed(history) if entry[which] <= at), None)
