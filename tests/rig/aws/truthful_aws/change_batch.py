"""What Route 53 makes of a batch of changes: all of it, or all that is wrong with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from . import record_values
from .names import escaped, is_under
from .zones import RecordSet, Zone

MOST_RECORDS, MOST_CHARACTERS, MOST_VALUES = 1000, 32000, 400


@dataclass(frozen=True)
class Change:
    """One change of a batch."""

    action: str
    record: RecordSet


def apply(zone: Zone, changes: list) -> tuple:
    """The zone's records after the batch, and every fault found. The records count only when there is no fault."""
    faults = _too_much(changes)
    if faults:
        return zone.records, faults
    faults = _written_twice(changes)
    records = dict(zone.records)
    for change in changes:
        found = _faults_of(change, records, zone)
        faults += found
        if found:
            continue
        if change.action == "DELETE":
            del records[change.record.key]
        else:
            records[change.record.key] = change.record
    # Whether a CNAME stands alone is judged by what the whole batch leaves, so one batch can replace it.
    faults += _conflicts(changes, records, zone)
    return records, faults


def _faults_of(change: Change, records: dict, zone: Zone) -> list:
    record, current = change.record, records.get(change.record.key)
    label = f"[name='{escaped(record.name)}', type='{record.type}'{_identifier(record)}]"
    if not is_under(record.name, zone.name):
        return [f"RRSet with DNS name {escaped(record.name)} is not permitted in zone {escaped(zone.name)}"]
    if change.action == "DELETE":
        tried = f"Tried to delete resource record set {label} but"
        if current is None:
            return [f"{tried} it was not found"]
        if not _same(current, record):
            return [f"{tried} the values provided do not match the current values"]
        if record.name == zone.name and record.type in ("NS", "SOA"):
            return [f"A HostedZone must contain at least one {record.type} record for the zone itself."]
        return []
    if change.action == "CREATE" and current is not None:
        return [f"Tried to create resource record set {label} but it already exists"]
    return _bad_values(record)


def _bad_values(record: RecordSet) -> list:
    faults = [fault for value in record.values if (fault := record_values.problem(record.type, value))]
    faults += [f"Duplicate Resource Record: '{value}'" for value, count in Counter(record.values).items() if count > 1]
    if record.type == "CNAME" and len(record.values) > 1:
        faults.append(f"RRSet of type CNAME with DNS name {escaped(record.name)} contains more than one resource record")
    if len(record.values) > MOST_VALUES:
        faults.append(f"RRSet with DNS name {escaped(record.name)} has more than {MOST_VALUES} resource records")
    return faults


def _conflicts(changes: list, records: dict, zone: Zone) -> list:
    written = {change.record.key: change.record for change in changes if change.action != "DELETE"}
    faults = []
    for record in written.values():
        refused = f"RRSet of type {record.type} with DNS name {escaped(record.name)} is not permitted"
        where = f"in zone {escaped(zone.name)}"
        if record.type == "CNAME" and record.name == zone.name:
            faults.append(f"{refused} at apex {where}")
            continue
        keys = zone.keys_at(record.name) | {key for key in written if key[0] == record.name}
        siblings = {records[key].type for key in keys if key in records} - {record.type}
        if siblings and (record.type == "CNAME" or "CNAME" in siblings):
            faults.append(f"{refused} as it conflicts with other records with the same DNS name {where}")
    return faults


def _written_twice(changes: list) -> list:
    """A set may be deleted and then created in one batch, that is the compare-and-swap; anything else is refused."""
    actions: dict = {}
    for change in changes:
        actions.setdefault(change.record.key, []).append(change.action)
    return [
        f"The request contains an invalid set of changes for a resource record set '{type_} {escaped(name)}'"
        for (name, type_, _), seen in actions.items()
        if len(seen) > 1 and seen != ["DELETE", "CREATE"]
    ]


def _too_much(changes: list) -> list:
    """The two limits on a request; an UPSERT counts twice, since it may stand for a DELETE and a CREATE."""
    weight = {"UPSERT": 2}
    records = sum(weight.get(c.action, 1) * max(1, len(c.record.values)) for c in changes)
    characters = sum(weight.get(c.action, 1) * sum(map(len, c.record.values)) for c in changes)
    faults = [f"Number of records limit of {MOST_RECORDS} exceeded."] if records > MOST_RECORDS else []
    return faults + ([f"Number of characters limit of {MOST_CHARACTERS} exceeded."] if characters > MOST_CHARACTERS else [])


def _same(one: RecordSet, other: RecordSet) -> bool:
    return (one.ttl, Counter(one.values), one.alias, set(one.extras)) == (
        other.ttl,
        Counter(other.values),
        other.alias,
        set(other.extras),
    )


def _identifier(record: RecordSet) -> str:
    return f", set-identifier='{record.identifier}'" if record.identifier else ""
