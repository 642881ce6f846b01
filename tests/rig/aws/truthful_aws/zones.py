"""Hosted zones with their history, since what the public sees now was written a while ago."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

from .names import parents

SOA_TTL, NS_TTL = 900, 172800


@dataclass(frozen=True)
class RecordSet:
    """One resource record set; immutable, so that versions of a zone may share it."""

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


@dataclass(frozen=True)
class Version:
    """The records of a zone between two changes."""

    written: float
    public: float
    records: dict

    @cached_property
    def by_name(self) -> dict:
        """The record sets as a resolver looks for them: name, then type."""
        found: dict = {}
        for record in self.records.values():
            found.setdefault(record.name, {}).setdefault(record.type, record)
        return found

    @cached_property
    def existing(self) -> set:
        """All names that exist. One that only has something below it exists too, and so keeps a wildcard away."""
        names = set(self.by_name)
        for owner in self.by_name:
            names.update(parents(owner))
        return names


@dataclass
class Zone:
    """A hosted zone. `created` and `deleted` are when the API said so; the public sees both a little later."""

    id: str
    name: str
    private: bool
    comment: str
    caller_reference: str
    created: float
    public: float
    deleted: float | None = None
    gone: float | None = None
    versions: list = field(default_factory=list)

    def __post_init__(self) -> None:
        soa = f"{self.name_servers[0]}. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"
        apex = [
            RecordSet(self.name, "NS", NS_TTL, tuple(server + "." for server in self.name_servers)),
            RecordSet(self.name, "SOA", SOA_TTL, (soa,)),
        ]
        self.versions.append(Version(self.created, self.public, {record.key: record for record in apex}))

    @property
    def name_servers(self) -> list:
        """Four of the zone's own. Zones of one name would otherwise be alike, and nobody could tell a delegation."""
        digest = hashlib.sha256(self.id.encode()).digest()
        return [
            f"ns-{(digest[2 * i] * 256 + digest[2 * i + 1]) % 512 + 512 * i}.awsdns-{digest[8 + i] % 64:02d}.{suffix}"
            for i, suffix in enumerate(("com", "net", "org", "co.uk"))
        ]

    @property
    def records(self) -> dict:
        """The records as written, public or not yet."""
        return self.versions[-1].records

    def write(self, records: dict, now: float, public: float) -> float:
        """Adds a version; answers when it is public. Changes of one zone never overtake each other."""
        public = max(public, self.versions[-1].public)
        self.versions.append(Version(now, public, records))
        return public

    def delete(self, now: float, public: float) -> None:
        """The zone leaves the API at once and the public DNS when that is in sync."""
        self.deleted, self.gone = now, public

    def listed_at(self, at: float) -> bool:
        """Whether a listing that lags would show the zone."""
        return self.created <= at and (self.deleted is None or self.deleted > at)

    def is_public_at(self, at: float) -> bool:
        """Whether name servers answer for it."""
        return not self.private and self.public <= at and (self.gone is None or self.gone > at)

    def written_at(self, at: float) -> dict:
        """The records a listing that lags would show."""
        return next((v.records for v in reversed(self.versions) if v.written <= at), {})

    def public_at(self, at: float) -> Version:
        """What the name servers answered from at that time."""
        return next((v for v in reversed(self.versions) if v.public <= at), self.versions[0])

    def public_changes(self):
        """The times at which what the public sees of this zone changed."""
        yield from (version.public for version in self.versions)
        if self.gone is not None:
            yield self.gone
