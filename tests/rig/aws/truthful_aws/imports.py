"""Zones and identities by the thousand, made in one request as if they had been there for long."""

from __future__ import annotations

from .identity import Config, Identity, signing_zone
from .names import canonical
from .route53 import new_zone_id
from .zones import RecordSet, Zone


def import_state(account, wanted: dict) -> dict:
    """Puts zones and identities into the account, `age` seconds ago; answers the zones' IDs by their names. Records of a
    zone that is there already join it.

    Nothing is declared verified: that follows, as ever, from what the zones have served since then.
    """
    then = account.clock.now() - float(wanted.get("age") or 0)
    zones = [_zone(account, told, then) for told in wanted.get("zones") or []]
    region = wanted.get("region") or "us-east-1"
    for told in wanted.get("identities") or []:
        account.add(_identity(account, region, told, then))
    return {"zones": {zone.name: zone.id for zone in zones}}


def _zone(account, told: dict, then: float) -> Zone:
    name = canonical(told["name"])
    zone = next((zone for zone in account.dns.zones_of(name) if zone.deleted is None and not zone.private), None)
    if zone is None:
        zone_id = new_zone_id()
        zone = Zone(zone_id, name, False, "", f"import {zone_id}", then, then)
        account.add_zone(zone)
    records = [_record(record) for record in told.get("records") or []]
    zone.write({record.key: record for record in records}, then, then)
    return zone


def _record(told: dict) -> RecordSet:
    return RecordSet(canonical(told["name"]), told["type"], int(told["ttl"]), tuple(told["values"]))


def _identity(account, region: str, told: dict, then: float) -> Identity:
    config = Config(tuple(told["tokens"]), signing_zone(region), tags=dict(told.get("tags") or {}), key_made=then)
    identity = Identity(account, region, canonical(told["name"]), config, then)
    if told.get("mail_from"):
        identity.set_mail_from(canonical(told["mail_from"]), "USE_DEFAULT_VALUE", then)
    return identity
