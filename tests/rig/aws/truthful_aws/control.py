"""The control API under `/rig/<account>/…`: how tests move time, play faults and read what happened."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qs, unquote

from . import imports
from .account import Account, Accounts
from .clock import rfc3339
from .names import canonical
from .wire import Response

LONGEST_WAIT = 300.0


class Unfit(Exception):
    """A control request that makes no sense: (status, message)."""


class Control:
    """Routes the control requests; the long poll on the clock is the only one that does not take the account's lock."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def answer(self, method: str, path: str, query: str, body: bytes) -> Response:
        """Answers one request; what is wrong with it is told in JSON."""
        try:
            match = re.fullmatch(r"/rig/(\d{12})/([a-z]+)(?:/(.*))?", path)
            handler = match and HANDLERS.get((method, match.group(2)))
            if not handler:
                known = ", ".join(sorted(f"{verb} /rig/<account>/{name}" for verb, name in HANDLERS))
                raise Unfit(404, f"{method} {path} is nothing of the rig's; there is {known}")
            account = self._accounts.get(match.group(1))
            asked = {name: values[-1] for name, values in parse_qs(query).items()}
            wanted = json.loads(body) if body else {}
            rest = unquote(match.group(3) or "")
            if handler is read_clock:
                return _json(handler(account, rest, asked, wanted))
            with account.lock:
                return _json(handler(account, rest, asked, wanted))
        except Unfit as error:
            return _json({"error": error.args[1]}, error.args[0])
        except (ValueError, TypeError, KeyError) as error:
            return _json({"error": f"{method} {path}: {error}"}, 400)


def read_clock(account: Account, rest: str, asked: dict, _wanted: dict) -> dict:
    """The time; waits for a change when told which version is known."""
    after = int(asked["after"]) if "after" in asked else None
    return account.clock.read(after, min(float(asked.get("wait", 0)), LONGEST_WAIT), float(rest or 0))


def change_clock(account: Account, _rest: str, _asked: dict, wanted: dict) -> dict:
    """Moves time."""
    account.clock.change(float(wanted.get("advance") or 0), wanted.get("rate"))
    return account.clock.read()


def read_settings(account: Account, _rest: str, _asked: dict, _wanted: dict) -> dict:
    """The settings in force."""
    return account.settings.values


def change_settings(account: Account, _rest: str, _asked: dict, wanted: dict) -> dict:
    """Changes what is named; what happened up to now happened under the old ones."""
    account.evolve()
    account.settings.change(wanted)
    account.look_again()
    if "seed" in wanted:
        account.faults.seed(wanted["seed"])
    return account.settings.values


def add_fault(account: Account, _rest: str, _asked: dict, wanted: dict) -> dict:
    """A fault from now on."""
    return {"id": account.faults.add(wanted)}


def list_faults(account: Account, _rest: str, _asked: dict, _wanted: dict) -> list:
    """The faults in force."""
    return account.faults.list()


def remove_faults(account: Account, rest: str, _asked: dict, _wanted: dict) -> dict:
    """One fault less, or none left."""
    account.faults.remove(rest or None)
    return {}


def list_requests(account: Account, _rest: str, asked: dict, _wanted: dict) -> list:
    """The log."""
    return account.log.since(int(asked.get("since", 0)))


def list_refusals(account: Account, _rest: str, _asked: dict, _wanted: dict) -> list:
    """When SES would have refused mail."""
    return account.refusals()


def force_identity(account: Account, rest: str, _asked: dict, wanted: dict) -> dict:
    """Shows a status whatever the DNS says."""
    region, _, name = rest.partition("/")
    identity = account.identities.get(region, {}).get(canonical(name))
    if identity is None:
        raise Unfit(404, f"there is no identity {name} in {region}")
    now = account.evolve()
    mail_from = identity.mail_froms[-1][1]
    for kind, verification in (("dkim", identity.dkim), ("mail_from", mail_from)):
        if kind not in wanted:
            continue
        if verification is None:
            raise Unfit(409, f"{name} has no MAIL FROM domain")
        verification.force(wanted[kind], now)
    return {"dkim": identity.dkim.status, "mail_from": mail_from.status if mail_from else None}


def list_identities(account: Account, _rest: str, _asked: dict, _wanted: dict) -> list:
    """When each identity was verified, and the delays that were drawn for it."""
    account.evolve()
    took = {public: public - submitted for submitted, public, _ in account.changes.values()}
    identities = (identity for named in account.identities.values() for identity in named.values())
    return [_told(account, identity, took) for identity in identities]


def _told(account: Account, identity, took: dict) -> dict:
    mail_from = identity.mail_froms[-1][1]
    told = {"region": identity.region, "name": identity.name, "created": rfc3339(identity.created)}
    # How long the change took to be served that made DKIM right.
    told["insync"] = took.get(identity.dkim.right)
    told["dkim"] = _verified(identity.dkim, account.settings.delay("dkim", identity.name))
    if mail_from is not None:
        told["mail_from"] = _verified(mail_from, account.settings.delay("mail_from", identity.config.mail_from))
    return told


def _verified(verification, delay: float) -> dict:
    at = verification.verified
    return {"delay": delay, "verified": rfc3339(at) if at is not None else None}


def import_state(account: Account, _rest: str, _asked: dict, wanted: dict) -> dict:
    """Zones and identities by the thousand, as if they had been there for long."""
    return imports.import_state(account, wanted)


def resolve(account: Account, _rest: str, asked: dict, _wanted: dict) -> dict:
    """What a receiver's resolver would find now."""
    answer = account.dns.resolve(asked["name"], asked["type"].upper(), account.clock.now())
    return {"code": answer.code, "values": list(answer.values)}


def name_server(account: Account, _rest: str, _asked: dict, _wanted: dict) -> dict:
    """Where public DNS answers on the wire."""
    return {"address": account.name_server().address}


def list_queries(account: Account, _rest: str, _asked: dict, _wanted: dict) -> list:
    """What was asked there."""
    return account.name_server().queries


def change_name(account: Account, rest: str, _asked: dict, wanted: dict) -> dict:
    """Publishes at a name of other people, or has it fail."""
    if "code" in wanted:
        account.dns.others.fail(rest, wanted["code"])
    else:
        account.dns.others.publish(rest, wanted["type"], wanted["values"])
    return {}


def reset(account: Account, _rest: str, _asked: dict, _wanted: dict) -> dict:
    """A new account of the same number."""
    account.reset()
    return {}


HANDLERS = {
    ("GET", "clock"): read_clock,
    ("POST", "clock"): change_clock,
    ("GET", "settings"): read_settings,
    ("PUT", "settings"): change_settings,
    ("GET", "faults"): list_faults,
    ("POST", "faults"): add_fault,
    ("DELETE", "faults"): remove_faults,
    ("GET", "requests"): list_requests,
    ("GET", "refusals"): list_refusals,
    ("GET", "identities"): list_identities,
    ("POST", "identities"): force_identity,
    ("POST", "import"): import_state,
    ("GET", "dns"): resolve,
    ("GET", "nameserver"): name_server,
    ("GET", "queries"): list_queries,
    ("PUT", "names"): change_name,
    ("POST", "reset"): reset,
}


def _json(value, status: int = 200) -> Response:
    return Response(status, json.dumps(value).encode(), [("Content-Type", "application/json")])
