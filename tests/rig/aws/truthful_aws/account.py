"""Everything that belongs to one AWS account, its DNS universe included."""

from __future__ import annotations

import threading
from bisect import insort

from moto.ses.models import ses_backends

from .clock import Clock, rfc3339
from .dns import PublicDns
from .faults import Faults
from .identity import Identity
from .name_server import NameServer
from .rate_limits import RateLimits
from .request_log import RequestLog
from .route53 import Route53
from .ses import Ses
from .settings import Settings
from .zones import Zone


class Account:
    """One lock for each account: tests in different accounts never wait for each other."""

    def __init__(self, account_id: str) -> None:
        self.id = account_id
        self.lock = threading.RLock()
        self.clock = Clock()
        self._name_server: NameServer | None = None
        self._empty()

    def _empty(self) -> None:
        self.settings = Settings()
        self.faults = Faults()
        self.rate_limits = RateLimits()
        self.log = RequestLog()
        self.zones: dict = {}  # by ID; deleted ones too, for the history
        self.zones_in_order: list = []  # the same, in the order of a listing by name
        self.references: set = set()  # of the callers who made them
        self.dns = PublicDns()
        self.changes: dict = {}  # Route 53's change id -> (submitted, public, its zone's ID)
        self.identities: dict = {}  # Region -> name -> identity
        self.ever: dict = {}  # the same with lists of identities, oldest first: deleted ones too
        self.names: dict = {}  # Region -> the names of all that ever were, in order
        self._number = 0

    def reset(self) -> None:
        """As if the account were new, what moto keeps for it included."""
        with self.lock:
            self._empty()
            self.clock.reset()
            if self._name_server is not None:
                self._name_server.queries.clear()
            for backend in ses_backends[self.id].values():
                backend.reset()

    def next_number(self) -> int:
        """Never the same twice: a new key must not equal an old one."""
        self._number += 1
        return self._number

    def name_server(self) -> NameServer:
        """Public DNS on the wire, from the first time that somebody asks for it; a reset leaves it where it is."""
        if self._name_server is None:
            self._name_server = NameServer(self)
        return self._name_server

    def ses(self, region: str) -> Ses:
        """SES of a Region."""
        return Ses(self, region)

    def route53(self) -> Route53:
        """Route 53."""
        return Route53(self)

    def zone_of(self, request) -> str | None:
        """The ID of the zone that a request to Route 53 is about; None when it is about none, or another service's."""
        if request.service != "route53" or not request.params.get("Id"):
            return None
        if request.operation == "GetChange":
            return self.changes.get(request.target, (None, None, None))[2]
        return request.target

    def evolve(self) -> float:
        """Brings every identity up to now; answers now."""
        now = self.clock.now()
        for identity in self.all_identities():
            identity.evolve(now)
        return now

    def look_again(self) -> None:
        """Whatever was worked out ahead may be otherwise by now."""
        now = self.clock.now()
        for identity in self.all_identities():
            identity.wake(now)

    def add_zone(self, zone: Zone) -> None:
        """Another zone."""
        self.zones[zone.id] = zone
        insort(self.zones_in_order, zone, key=lambda one: one.place)
        self.references.add(zone.caller_reference)
        self.dns.add(zone)

    def add(self, identity: Identity) -> None:
        """Another identity."""
        self.identities.setdefault(identity.region, {})[identity.name] = identity
        ever = self.ever.setdefault(identity.region, {})
        if identity.name not in ever:
            insort(self.names.setdefault(identity.region, []), identity.name)
        ever.setdefault(identity.name, []).append(identity)

    def all_identities(self):
        """All that ever were."""
        return (one for named in self.ever.values() for identities in named.values() for one in identities)

    def refusals(self) -> list:
        """When SES would have refused to send mail, for each identity."""
        now = self.evolve()
        return [
            {"region": identity.region, "identity": identity.name, "from": rfc3339(start), "until": rfc3339(until)}
            for identity in self.all_identities()
            for start, until in identity.refusals(now)
        ]


class Accounts:
    """All accounts of the process; each is made when it is first spoken of."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accounts: dict = {}

    def get(self, account_id: str) -> Account:
        """The account of that number."""
        with self._lock:
            if account_id not in self._accounts:
                self._accounts[account_id] = Account(account_id)
            return self._accounts[account_id]
