"""Hosted zones with their history, since what the public sees now was written a while ago."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from .names import order, parents

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

    The history is kept for each record set, not for each version of the zone: a zone may have thousands of sets and see
    thousands of changes.
    """

    def __init__(self, zone_id: str, name: str, private: bool, comment: str, reference: str, now: float, public: float):
        self.id, self.name, self.private, self.comment, self.caller_reference = zone_id, name, private, comment, reference
        # When the API said so, and when the public saw it.
        self.created, self.public = now, public
        self.deleted: float | None = None
        self.gone: float | None = None
        self.records: dict = {}  # as written, public or not yet
        self._history: dict = {}  # key -> [(written, public, record or None)]
        self._keys: dict = {}  # name -> the keys it ever had
        self._below: dict = {}  # name -> the names that ever were below it
        self._changes: list = []  # when the public saw a change, in order
        soa = f"{self.name_servers[0]}. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"
        servers = tuple(server + "." for server in self.name_servers)
        apex = [RecordSet(name, "NS", NS_TTL, servers), RecordSet(name, "SOA", SOA_TTL, (soa,))]
        self.write({record.key: record for record in apex}, now, public)

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
        public = max([public, *self._changes[-1:]])
        self._changes.append(public)
        for key, record in changed.items():
            name = key[0]
            self._history.setdefault(key, []).append((now, public, record))
            self._keys.setdefault(name, set()).add(key)
            for parent in parents(name):
                self._below.setdefault(parent, set()).add(name)
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
        return public

    def delete(self, now: float, public: float) -> None:
        """The zone leaves the API at once, and the public DNS when that is in sync."""
        self.deleted, self.gone = now, public

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

    def public_changes(self, after: float):
        """When what the public sees of this zone changed, after a time."""
        for public in reversed(self._changes):
            if public <= after:
                break
            yield public
        if self.gone is not None and self.gone > after:
            yield self.gone


def _latest(history: list, which: int, at: float):
    return next((entry[2] for entry in reversed(history) if entry[which] <= at), None)
