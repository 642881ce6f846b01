"""Route 53's XML: reading what the strict part needs, and showing zones, records and changes."""

from __future__ import annotations

from functools import lru_cache
from xml.etree import ElementTree

from .change_batch import Change
from .clock import rfc3339
from .names import canonical, escaped
from .wire import AwsError, Xml, elements
from .zones import RecordSet, Zone

ALIAS = ("HostedZoneId", "DNSName", "EvaluateTargetHealth")
# Routing policies are kept and given back in this order, which the schema prescribes.
EXTRAS = ("Weight", "Region", "Failover", "MultiValueAnswer", "HealthCheckId")


def invalid_input(message: str) -> AwsError:
    """A request that does not even fit the schema."""
    return AwsError(400, "InvalidInput", message)


class Body:
    """A request's XML without its namespace."""

    def __init__(self, text: bytes) -> None:
        try:
            self._root = ElementTree.fromstring(text)
        except ElementTree.ParseError as error:
            raise AwsError(400, "MalformedInput", f"Unexpected element: {error}") from error
        for node in self._root.iter():
            node.tag = node.tag.rsplit("}", 1)[-1]

    def text(self, path: str) -> str | None:
        """The text at a path."""
        return self._root.findtext(path)

    def changes(self) -> list:
        """The batch of ChangeResourceRecordSets."""
        changes = [_change(node) for node in self._root.iterfind("ChangeBatch/Changes/Change")]
        if not changes:
            raise invalid_input("1 validation error detected: the change batch has no changes")
        return changes


def _change(node) -> Change:
    action, record = node.findtext("Action") or "", node.find("ResourceRecordSet")
    if action not in ("CREATE", "DELETE", "UPSERT") or record is None:
        raise invalid_input(f"Invalid action {action!r} or no resource record set")
    name, type_ = canonical(record.findtext("Name") or ""), record.findtext("Type") or ""
    values = tuple(value.text or "" for value in record.iterfind("ResourceRecords/ResourceRecord/Value"))
    ttl, target = record.findtext("TTL"), record.find("AliasTarget")
    alias = None if target is None else tuple(target.findtext(tag) for tag in ALIAS)
    if (alias is None) == (not values or ttl is None):
        raise invalid_input(
            "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or "
            f"TrafficPolicyInstanceId], but found none in Change with [Action={action}, Name={escaped(name)}, "
            f"Type={type_}, SetIdentifier={record.findtext('SetIdentifier') or 'null'}]"
        )
    extras = tuple((tag, record.findtext(tag)) for tag in EXTRAS if record.findtext(tag) is not None)
    seconds = int(ttl) if ttl is not None else None
    return Change(action, RecordSet(name, type_, seconds, values, alias, record.findtext("SetIdentifier"), extras))


@lru_cache(maxsize=100_000)
def record_elements(record: RecordSet) -> Xml:
    """What is in a ResourceRecordSet. Kept as text: a zone of thousands is listed again and again."""
    alias = record.alias and dict(zip(ALIAS, record.alias))
    values = {"ResourceRecord": [{"Value": value} for value in record.values]} if record.values else None
    told = {
        "Name": escaped(record.name),
        "Type": record.type,
        "SetIdentifier": record.identifier,
        **dict(record.extras),
        "TTL": record.ttl,
        "ResourceRecords": values,
        "AliasTarget": alias,
    }
    return Xml(elements(told))


def zone_element(zone: Zone, records: dict) -> dict:
    """A HostedZone."""
    return {
        "Id": f"/hostedzone/{zone.id}",
        "Name": escaped(zone.name),
        "CallerReference": zone.caller_reference,
        "Config": {"Comment": zone.comment or None, "PrivateZone": zone.private},
        "ResourceRecordSetCount": len(records),
    }


def delegation_element(zone: Zone) -> dict | None:
    """A DelegationSet; private zones have none."""
    return None if zone.private else {"NameServers": {"NameServer": zone.name_servers}}


def change_element(change_id: str, submitted: float, public: float, now: float) -> dict:
    """A ChangeInfo."""
    status = "INSYNC" if public <= now else "PENDING"
    return {"Id": f"/change/{change_id}", "Status": status, "SubmittedAt": rfc3339(submitted)}
