"""What a test may choose for its account, and the delays drawn from it."""

from __future__ import annotations

import copy
import random

HOUR = 3600.0

# How long SES looks for the records before it gives up, at first and again after they have vanished.
PATIENCE = 72 * HOUR
# How often SES looks again at what it has verified once. AWS names no figure; the guides speak of "periodically".
RECHECK = 0.5 * HOUR

DEFAULTS = {
    "seed": 0,
    # Seconds, [at least, at most], as people see them.
    "delays": {"insync": [20, 60], "dkim": [60, 600], "mail_from": [60, 900]},
    # Requests a second, None for no limit. As AWS has them: {"ses": 1.0, "route53": 5.0}. With "ses_shared": true all
    # operations of a Region take from one bucket: nobody has told that they don't.
    "rate_limits": None,
    # For how many seconds Route 53 refuses further changes of a zone after it has accepted one: PriorRequestNotComplete. It
    # does where they overlap; nobody has told for how long.
    "change_takes": 0,
    # SES Gets and Route 53 lists answer the state of that many seconds ago.
    "read_lag": 0,
    # Whether a restart of DKIM brings "new" tokens or the "same": nobody has told, so the caller must bear either.
    "restart_tokens": "new",
    # Whether a failed MAIL FROM must be cleared before the same domain starts again: nobody has told either.
    "mail_from_restart_needs_clear": False,
    # Whether SES refuses a MAIL FROM domain before the identity is verified. Seen both ways.
    "mail_from_needs_verified": False,
    # Whether the account is out of the sandbox.
    "production_access": True,
}


class Settings:
    """The settings of one account; `change` merges, as a test names only what it cares about."""

    def __init__(self) -> None:
        self.values = copy.deepcopy(DEFAULTS)
        self._drawn: dict = {}  # the draws so far: a thousand identities are listed in one call

    def __getitem__(self, key: str):
        return self.values[key]

    def change(self, wanted: dict) -> None:
        """Takes over what is named; a name nobody knows is an error, since a typing mistake would silently test nothing."""
        unknown = (set(wanted) - set(DEFAULTS)) | (set(wanted.get("delays") or {}) - set(DEFAULTS["delays"]))
        if unknown:
            raise ValueError(f"unknown settings {sorted(unknown)}; known are {sorted(DEFAULTS)}")
        for key, value in wanted.items():
            if key == "delays":
                self.values["delays"].update(value)
            else:
                self.values[key] = value

    def chance(self, *about: object) -> float:
        """A number from 0 to 1 that depends on the seed and on what it is about, never on the order of calls."""
        about = (self["seed"], *about)
        drawn = self._drawn.get(about)
        if drawn is None:
            drawn = self._drawn[about] = random.Random("|".join(map(str, about))).random()
        return drawn

    def delay(self, kind: str, *about: object) -> float:
        """How long `kind` takes for the thing it is about."""
        least, most = self["delays"][kind]
        return least + (most - least) * self.chance(kind, *about)
