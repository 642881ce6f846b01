"""Faults that a test plays: which requests they hit, how often, and what the caller sees of them."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

from .wire import (
    AwsError,
    broken,
    denied,
    prior_request_not_complete,
    signature_expired,
    throttled,
    token_expired,
)

# Those that answer an error without acting; the others are played where the connection is.
ERRORS = ("throttle", "server_error", "denied", "token_expired", "signature_expired", "prior_request_not_complete")
CONNECTION = ("latency", "lost_answer", "drop", "hang")


@dataclass
class Fault:
    """One fault; `count` is how many requests it still hits, None for all."""

    service: str
    kind: str
    operation: str = "*"
    match: str | None = None
    count: int | None = None
    probability: float = 1.0
    seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.kind not in (*ERRORS, *CONNECTION):
            raise ValueError(f"unknown fault {self.kind!r}; known are {[*ERRORS, *CONNECTION]}")
        if self.service not in ("ses", "route53", "sts", "*"):
            raise ValueError(f"unknown service {self.service!r}; known are ses, route53, sts and *")


class Faults:
    """The faults of one account, in the order in which they were asked for; the first that fits is played."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._faults: dict = {}
        self._dice = random.Random(0)

    def seed(self, seed: int) -> None:
        """Makes the draws of `probability` repeatable."""
        self._dice = random.Random(seed)

    def add(self, wanted: dict) -> str:
        """Adds a fault; answers its id."""
        fault_id = str(next(self._ids))
        self._faults[fault_id] = Fault(**wanted)
        return fault_id

    def remove(self, fault_id: str | None = None) -> None:
        """Removes one, or all."""
        if fault_id is None:
            self._faults.clear()
        else:
            self._faults.pop(fault_id, None)

    def list(self) -> list:
        """What is in force."""
        return [{"id": fault_id, **vars(fault)} for fault_id, fault in self._faults.items()]

    def strike(self, service: str, operation: str, text: str) -> Fault | None:
        """The fault this request runs into, if any; it counts as played."""
        for fault in self._faults.values():
            if fault.count == 0 or fault.service not in ("*", service) or fault.operation not in ("*", operation):
                continue
            if fault.match is not None and fault.match.lower() not in text.lower():
                continue
            if fault.probability < 1.0 and self._dice.random() >= fault.probability:
                continue
            if fault.count is not None:
                fault.count -= 1
            return fault
        return None


def error_of(fault: Fault, request, now: float) -> AwsError | None:
    """The error a fault answers to a request; None for those of the connection."""
    service = request.service
    if fault.kind == "throttle":
        return throttled(service)
    if fault.kind == "server_error":
        return broken(service)
    if fault.kind == "denied":
        return denied(service, request.operation, request.account, request.resource)
    if fault.kind == "token_expired":
        return token_expired(service)
    if fault.kind == "signature_expired":
        return signature_expired(service, now)
    if fault.kind == "prior_request_not_complete":
        return prior_request_not_complete()
    return None
