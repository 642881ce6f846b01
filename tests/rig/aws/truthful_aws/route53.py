"""Route 53: zones, record sets and changes, as strict as the real one. The rest is moto's."""

from __future__ import annotations

import secrets
import string
from bisect import bisect_left
from itertools import islice

from . import change_batch
from .names import canonical, escaped, order
from .route53_xml import Body, change_element, delegation_element, invalid_input, record_elements, zone_element
from .wire import AwsError, Response, answer_xml, prior_request_not_complete
from .zones import Zone

LETTERS = string.ascii_uppercase + string.digits


def no_such_zone(zone_id: str) -> AwsError:
    """What Route 53 answers to an ID it does not know."""
    return AwsError(404, "NoSuchHostedZone", f"No hosted zone found with ID: {zone_id}")


class Route53:
    """The operations of one account; each takes the path's and query's parameters and the body."""

    def __init__(self, account) -> None:
        self.account = account

    def call(self, operation: str, params: dict, body: bytes) -> Response | None:
        """Runs an operation; None when it is not one of these."""
        method = getattr(self, operation, None) if operation[:1].isupper() else None
        return method(params, body) if method else None

    def CreateHostedZone(self, _params: dict, body: bytes) -> Response:
        wanted, now = Body(body), self.account.clock.now()
        name, reference = canonical(wanted.text("Name") or ""), wanted.text("CallerReference") or ""
        if not name:
            raise AwsError(400, "InvalidDomainName", "The domain name is empty")
        if reference in self.account.references:
            message = f"A hosted zone has already been created with the specified caller reference: {reference}"
            raise AwsError(409, "HostedZoneAlreadyExists", message)
        private = wanted.text("HostedZoneConfig/PrivateZone") == "true" or wanted.text("VPC/VPCId") is not None
        comment = wanted.text("HostedZoneConfig/Comment") or ""
        zone_id = new_zone_id()
        change, public = self._change(now, zone_id, "zone", name)
        zone = Zone(zone_id, name, private, comment, reference, now, public)
        self.account.add_zone(zone)
        answer = {
            "HostedZone": zone_element(zone, zone.records),
            "ChangeInfo": change,
            "DelegationSet": delegation_element(zone),
        }
        location = ("Location", f"https://route53.amazonaws.com/2013-04-01/hostedzone/{zone_id}")
        return answer_xml("CreateHostedZoneResponse", answer, 201, (location,))

    def GetHostedZone(self, params: dict, _body: bytes) -> Response:
        zone = self._zone(params)
        answer = {"HostedZone": zone_element(zone, zone.records), "DelegationSet": delegation_element(zone)}
        return answer_xml("GetHostedZoneResponse", answer)

    def DeleteHostedZone(self, params: dict, _body: bytes) -> Response:
        zone, now = self._zone(params), self.account.clock.now()
        if any(record.name != zone.name or record.type not in ("NS", "SOA") for record in zone.records.values()):
            message = "The specified hosted zone contains non-required resource record sets and so cannot be deleted."
            raise AwsError(400, "HostedZoneNotEmpty", message)
        change, public = self._change(now, zone.id, "zone", zone.name)
        zone.delete(now, public)
        self.account.references.discard(zone.caller_reference)
        return answer_xml("DeleteHostedZoneResponse", {"ChangeInfo": change})

    def ListHostedZones(self, params: dict, _body: bytes) -> Response:
        zones, size = sorted(self._seen_from(("", "")), key=lambda zone: zone.id), _page_size(params, 100)
        marker = params.get("marker") or ""
        left = [zone for zone in zones if zone.id >= marker]
        answer = {
            "HostedZones": self._zone_list(left[:size]),
            "Marker": marker or None,
            "IsTruncated": len(left) > size,
            "NextMarker": left[size].id if len(left) > size else None,
            "MaxItems": size,
        }
        return answer_xml("ListHostedZonesResponse", answer)

    def ListHostedZonesByName(self, params: dict, _body: bytes) -> Response:
        """Starts at the name: a caller who does not compare takes a neighbour's zone for its own."""
        size = _page_size(params, 100)
        name, zone_id = params.get("dnsname"), (params.get("hostedzoneid") or "").rsplit("/", 1)[-1]
        if zone_id and not name:
            raise invalid_input("The input includes a hosted zone ID without a DNS name")
        start = (order(canonical(name)), zone_id) if name else ("", "")
        left = list(islice(self._seen_from(start), size + 1))
        more = left[size] if len(left) > size else None
        answer = {
            "HostedZones": self._zone_list(left[:size]),
            "DNSName": name,
            "HostedZoneId": zone_id or None,
            "IsTruncated": more is not None,
            "NextDNSName": escaped(more.name) if more else None,
            "NextHostedZoneId": more.id if more else None,
            "MaxItems": size,
        }
        return answer_xml("ListHostedZonesByNameResponse", answer)

    def ListResourceRecordSets(self, params: dict, _body: bytes) -> Response:
        zone, size = self._zone(params), _page_size(params, 300)
        name, type_ = params.get("name"), params.get("type") or ""
        if type_ and not name:
            raise invalid_input("The input includes a type without a name")
        start = (order(canonical(name)), type_, params.get("identifier") or "") if name else ("", "", "")
        lag = self.account.settings["read_lag"]
        if lag:
            records = zone.written_at(self.account.clock.now() - lag)
            left = sorted((record for record in records if record.place >= start), key=lambda record: record.place)
        else:
            left = zone.listed(start, size + 1)
        more = left[size] if len(left) > size else None
        answer = {
            "ResourceRecordSets": {"ResourceRecordSet": [record_elements(record) for record in left[:size]]},
            "IsTruncated": more is not None,
            "NextRecordName": escaped(more.name) if more else None,
            "NextRecordType": more.type if more else None,
            "NextRecordIdentifier": more.identifier if more else None,
            "MaxItems": size,
        }
        return answer_xml("ListResourceRecordSetsResponse", answer)

    def ChangeResourceRecordSets(self, params: dict, body: bytes) -> Response:
        zone, now = self._zone(params), self.account.clock.now()
        changes = Body(body).changes()
        if now < zone.busy_until:
            raise prior_request_not_complete()
        records, faults = change_batch.apply(zone, changes)
        if faults:
            raise AwsError(400, "InvalidChangeBatch", f"[{', '.join(faults)}]")
        zone.busy_until = now + self.account.settings["change_takes"]
        written = sorted(f"{change.action} {change.record}" for change in changes)
        changed = {change.record.key: records.get(change.record.key) for change in changes}
        change, _ = self._change(now, zone.id, zone.name, *written, publish=lambda at: zone.write(changed, now, at))
        return answer_xml("ChangeResourceRecordSetsResponse", {"ChangeInfo": change})

    def GetChange(self, params: dict, _body: bytes) -> Response:
        change_id = params["Id"].rsplit("/", 1)[-1]
        known = self.account.changes.get(change_id)
        if known is None:
            raise AwsError(404, "NoSuchChange", f"Could not find resource with ID: {change_id}")
        submitted, public, _ = known
        answer = {"ChangeInfo": change_element(change_id, submitted, public, self.account.clock.now())}
        return answer_xml("GetChangeResponse", answer)

    def _change(self, now: float, zone_id: str, *about: object, publish=lambda public: public) -> tuple:
        """Notes a change of a zone. A fresh one always answers PENDING, even in an account without delays."""
        public = publish(now + self.account.settings.delay("insync", *about))
        change_id = "C" + _random(20)
        self.account.changes[change_id] = (now, public, zone_id)
        return {**change_element(change_id, now, public, now), "Status": "PENDING"}, public

    def _zone(self, params: dict) -> Zone:
        zone_id = params["Id"].rsplit("/", 1)[-1]
        zone = self.account.zones.get(zone_id)
        if zone is None or zone.deleted is not None:
            raise no_such_zone(zone_id)
        return zone

    def _seen_from(self, place: tuple):
        """The zones from a place on, in the order of a listing by name, as a read that lags finds them."""
        at = self.account.clock.now() - self.account.settings["read_lag"]
        zones = self.account.zones_in_order
        first = bisect_left(zones, place, key=lambda zone: zone.place)
        return (zones[index] for index in range(first, len(zones)) if zones[index].listed_at(at))

    def _zone_list(self, zones: list) -> dict:
        return {"HostedZone": [zone_element(zone, zone.records) for zone in zones]}


def new_zone_id() -> str:
    """An ID that no other zone has."""
    return "Z" + _random(20)


def _page_size(params: dict, most: int) -> int:
    try:
        wanted = int(params.get("maxitems") or most)
    except ValueError as error:
        raise invalid_input("maxitems is not a number") from error
    return max(1, min(wanted, most))


def _random(length: int) -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(length))
