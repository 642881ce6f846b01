"""Every request of an account, for tests that count calls and for reading after a failure."""

from __future__ import annotations

import re
import threading
import time

from .clock import rfc3339

# SDKs put the name of the program here that AWS_SDK_UA_APP_ID gives it.
_APP = re.compile(r"\bapp/([^\s]+)")

READS = ("Get", "List", "Assume", "Describe")


class RequestLog:
    """Kept from the moment a request arrives, so that one that hangs can be seen too: its status is 0."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list = []

    def arrived(self, request, user_agent: str, clock, zone: str | None, changes: list | None) -> dict:
        """Notes a request; the answer is filled in later."""
        target, app = request.target, _APP.search(user_agent)
        entry = {
            "arrived": rfc3339(time.time()),
            "done": None,
            "sender": app.group(1) if app else None,
            "service": request.service,
            "operation": request.operation,
            "region": request.region,
            "target": target,
            "zone": zone,
            "status": 0,
            "error": None,
            "fault": None,
            "mutation": not request.operation.startswith(READS),
            "summary": " ".join(part for part in (request.operation, target, _told(changes)) if part),
        }
        if changes is not None:
            entry["changes"] = changes
        with self._lock:
            entry["seq"], entry["at"] = len(self._entries) + 1, rfc3339(clock.now())
            self._entries.append(entry)
        return entry

    @staticmethod
    def done(entry: dict) -> None:
        """It has been acted upon, whoever may hear of it."""
        entry["done"] = rfc3339(time.time())

    def since(self, seq: int) -> list:
        """The requests after a sequence number."""
        return self._entries[max(seq, 0) :]


def _told(changes: list | None) -> str:
    return "; ".join(f"{c['action']} {c['name']} {c['type']} {' '.join(c['values'])}" for c in changes or [])
