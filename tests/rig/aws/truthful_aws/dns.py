"""What public DNS would answer from an account's zones, at any time in their history, and of other people's names."""

from __future__ import annotations

from dataclasses import dataclass

from .names import canonical, is_under, parents
from .other_names import OtherNames
from .zones import Zone

CHAIN = 8


@dataclass(frozen=True)
class Answer:
    """`code` is NOERROR, NXDOMAIN, SERVFAIL or SILENCE; NOERROR without values means that the name has other types only."""

    code: str
    values: tuple = ()
    owner: str = ""  # the name that the values are of, after all CNAMEs
    ttl: int = 0
    aliases: tuple = ()  # the CNAMEs on the way, as (name, target, TTL)

    @property
    def error_type(self) -> str:
        """The word SES uses for an answer that does not help."""
        if self.code in ("SERVFAIL", "SILENCE"):
            return "DNS_SERVER_ERROR"
        if self.code == "NXDOMAIN":
            return "HOST_NOT_FOUND"
        return "INVALID_VALUE" if self.values else "TYPE_NOT_FOUND"


class Nobody(Exception):
    """A name is delegated to servers that are nobody's here."""


class PublicDns:
    """A resolver over the zones of one account, and over names that are none of theirs."""

    def __init__(self) -> None:
        self.others = OtherNames()
        self._zones: dict = {}  # name -> zones, oldest first
        self._watchers: dict = {}  # name -> who wants to hear of its changes

    def add(self, zone: Zone) -> None:
        """Another zone; deleted ones stay, for the history."""
        self._zones.setdefault(zone.name, []).append(zone)
        if not zone.private:
            zone.watchers = self._watchers
            for watcher in self._watchers.get(zone.name, ()):
                watcher.wake(zone.public)

    def zones_of(self, name: str) -> list:
        """The zones of a name, oldest first, deleted ones too."""
        return self._zones.get(name, [])

    def changes(self, names: list, since: float, watcher) -> list:
        """The times, from one on and in order, at which the answers for any of the names may change: as far as is known
        now. From now on the watcher is woken for each further one."""
        times, known, ahead = set(), set(), list(names)
        while ahead:
            name = ahead.pop()
            if name in known:
                continue
            known.add(name)
            for part in (name, *parents(name)):
                self._watch((part, "*." + part), watcher)
            for zone in self._on_the_way(name):
                if not zone.private:
                    times.update(zone.public_changes(name, since))
                    ahead.extend(zone.targets(name))
        return sorted(times)

    def _watch(self, names: tuple, watcher) -> None:
        for name in names:
            self._watchers.setdefault(name, set()).add(watcher)

    def resolve(self, name: str, type_: str, at: float) -> Answer:
        """Follows delegations and CNAMEs, as a resolver would."""
        name = owner = canonical(name)
        aliases: list = []
        for _ in range(CHAIN):
            failure = self.others.failure(name)
            if failure:
                return Answer(failure)
            try:
                found = self._found(name, at)
            except Nobody:
                return Answer("SERVFAIL")
            if found is None:
                return Answer("NXDOMAIN", aliases=tuple(aliases))
            record = found.get(type_) or found.get("CNAME")
            if record is None:
                return Answer("NOERROR", aliases=tuple(aliases))
            if record.alias is None and (record.type == type_ or type_ == "CNAME"):
                return Answer("NOERROR", record.values, owner, record.ttl or 0, tuple(aliases))
            name = canonical(record.alias[1] if record.alias else record.values[0])
            # An alias of Route 53's is not to be seen: its values stand at its own name.
            if record.alias is None:
                aliases.append((owner, name, record.ttl or 0))
                owner = name
        return Answer("SERVFAIL")

    def _found(self, name: str, at: float) -> dict | None:
        """The record sets that answer for a name, by type; None when it does not exist."""
        zones = [zone for zone in self._on_the_way(name) if zone.is_public_at(at)]
        if not zones:
            return self.others.types_at(name)
        zone = _authority(zones, name, at)
        if zone is None:
            raise Nobody
        return _find(zone, name, at)

    def _on_the_way(self, name: str) -> list:
        """The zones a resolver may pass on its way down to a name, shallowest first."""
        return [zone for part in reversed((name, *parents(name))) for zone in self._zones.get(part, ())]


def _authority(zones: list, name: str, at: float) -> Zone | None:
    """The zone whose servers a resolver ends up asking; None when these are nobody's here."""
    # The registry delegates the top name to the zone that was there first; a second zone of the same name is answered by
    # nobody, however right its records are.
    zone = zones[0]
    while (cut := _cut(zone, name, at)) is not None:
        child, servers = cut
        zone = next((one for one in zones if one.name == child and servers & set(one.name_servers)), None)
        if zone is None:
            return None
    return zone


def _cut(zone: Zone, name: str, at: float):
    """The first delegation on the way from the zone's top down to the name: (child's name, its servers)."""
    way = [part for part in (name, *parents(name)) if part != zone.name and is_under(part, zone.name)]
    for part in reversed(way):
        delegation = zone.types_at(part, at).get("NS")
        if delegation:
            return part, {canonical(value) for value in delegation.values}
    return None


def _find(zone: Zone, name: str, at: float):
    """The record sets that answer for a name, by type; None when the name does not exist, wildcards included."""
    if zone.exists_at(name, at):
        return zone.types_at(name, at)
    encloser = next(parent for parent in parents(name) if parent == zone.name or zone.exists_at(parent, at))
    return zone.types_at("*." + encloser, at) or None
