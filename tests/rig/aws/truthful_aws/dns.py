"""What public DNS would answer from an account's zones, at any time in their history."""

from __future__ import annotations

from dataclasses import dataclass

from .names import canonical, is_under, parents
from .zones import Zone

CHAIN = 8


@dataclass(frozen=True)
class Answer:
    """`code` is NOERROR, NXDOMAIN or SERVFAIL; NOERROR without values means that the name has other types only."""

    code: str
    values: tuple = ()

    @property
    def error_type(self) -> str:
        """The word SES uses for an answer that does not help."""
        if self.code == "SERVFAIL":
            return "DNS_SERVER_ERROR"
        if self.code == "NXDOMAIN":
            return "HOST_NOT_FOUND"
        return "INVALID_VALUE" if self.values else "TYPE_NOT_FOUND"


NOWHERE, NOBODY = Answer("NXDOMAIN"), Answer("SERVFAIL")


class PublicDns:
    """A resolver over the zones of one account."""

    def __init__(self, zones: list) -> None:
        self._zones = zones

    def changes(self, name: str, after: float, until: float) -> list:
        """The times in (after, until] at which the answers at or below a name may have changed."""
        zones = [z for z in self._zones if not z.private and (is_under(name, z.name) or is_under(z.name, name))]
        times = {time for zone in zones for time in zone.public_changes()}
        return sorted(time for time in times if after < time <= until)

    def resolve(self, name: str, type_: str, at: float) -> Answer:
        """Follows delegations and CNAMEs, as a resolver would."""
        name = canonical(name)
        for _ in range(CHAIN):
            zone = self._authority(name, at)
            if zone is None:
                return NOBODY if self._delegated_elsewhere(name, at) else NOWHERE
            found = _find(zone, name, at)
            if found is None:
                return NOWHERE
            record = found.get(type_) or found.get("CNAME")
            if record is None:
                return Answer("NOERROR")
            if record.alias is None and (record.type == type_ or type_ == "CNAME"):
                return Answer("NOERROR", record.values)
            name = canonical(record.alias[1] if record.alias else record.values[0])
        return NOBODY

    def _authority(self, name: str, at: float) -> Zone | None:
        """The zone whose servers a resolver ends up asking; None when it ends up with nobody here."""
        public = [zone for zone in self._zones if is_under(name, zone.name) and zone.is_public_at(at)]
        if not public:
            return None
        # The registry delegates the top name to the zone that was there first; a second zone of the same name is
        # answered by nobody, however right its records are.
        zone = min(public, key=lambda candidate: (candidate.name.count("."), candidate.created))
        while (cut := _cut(zone, name, at)) is not None:
            child, servers = cut
            zone = next((z for z in public if z.name == child and servers & set(z.name_servers)), None)
            if zone is None:
                return None
        return zone

    def _delegated_elsewhere(self, name: str, at: float) -> bool:
        return any(is_under(name, zone.name) and zone.is_public_at(at) for zone in self._zones)


def _cut(zone: Zone, name: str, at: float):
    """The first delegation on the way from the zone's top down to the name: (child's name, its servers)."""
    records = zone.public_at(at).records
    way = [part for part in (name, *parents(name)) if part != zone.name and is_under(part, zone.name)]
    for part in reversed(way):
        delegation = records.get((part, "NS", None))
        if delegation:
            return part, {canonical(value) for value in delegation.values}
    return None


def _find(zone: Zone, name: str, at: float):
    """The record sets that answer for a name, by type; None when the name does not exist, wildcards included."""
    version = zone.public_at(at)
    if name in version.by_name:
        return version.by_name[name]
    if name in version.existing:
        return {}
    encloser = next((parent for parent in parents(name) if parent in version.existing), None)
    return version.by_name.get("*." + encloser) if encloser else None
