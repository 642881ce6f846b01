"""AWS's request quotas, as token buckets on virtual time."""

from __future__ import annotations

import threading


class RateLimits:
    """SES throttles each action of a Region, Route 53 the whole account.

    Whether SES's buckets are shared among its actions is unknown: one for each unless "ses_shared" is set. A bucket
    holds one token more than a second brings, so that a caller who keeps exactly to the rate isn't refused because two of
    its requests came closer to each other on the way.

    A request is judged as it arrives, with a lock of this class's own: who waited for the account's would else be judged
    late, together with others, and be refused for that.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict = {}

    def allows(self, rates: dict | None, service: str, region: str, operation: str, clock) -> bool:
        """Takes a token, if there is one."""
        rate = (rates or {}).get(service)
        if rate is None:
            return True
        whole_region = (service, region) if rates.get("ses_shared") else (service, region, operation)
        key = (service,) if service == "route53" else whole_region
        most = rate + 1.0
        with self._lock:
            now = clock.now()
            tokens, filled = self._buckets.get(key, (most, now))
            tokens = min(most, tokens + (now - filled) * rate)
            allowed = tokens >= 1.0
            self._buckets[key] = (tokens - 1.0 if allowed else tokens, now)
            return allowed
