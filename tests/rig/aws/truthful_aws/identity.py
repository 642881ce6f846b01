"""One SES domain identity of one Region: what it is set to, and what SES finds in the DNS."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from .dns import Answer
from .names import canonical
from .verification import FAILED, SUCCESS, TEMPORARY_FAILURE, Verification

# Where the DKIM keys of the Region are published under a host of its own.
REGIONAL_DKIM = frozenset(
    "af-south-1 ap-northeast-3 ap-south-2 ap-southeast-3 ap-southeast-5 ca-west-1 eu-central-2 eu-south-1 il-central-1 "
    "me-central-1 us-gov-east-1".split()
)
# For so long a fresh identity may read NOT_STARTED.
HESITATION = 5.0


def signing_zone(region: str) -> str:
    """The zone that the three CNAMEs point into."""
    return f"dkim.{region}.amazonses.com" if region in REGIONAL_DKIM else "dkim.amazonses.com"


@dataclass(frozen=True)
class Config:
    """What calls have set. Immutable: reads that lag answer an older one."""

    tokens: tuple
    hosted_zone: str
    origin: str = "AWS_SES"
    selector: str | None = None
    signing_enabled: bool = True
    current_key_length: str = "RSA_2048_BIT"
    next_key_length: str = "RSA_2048_BIT"
    key_made: float = 0.0
    mail_from: str = ""
    behavior: str = "USE_DEFAULT_VALUE"
    feedback: bool = True
    configuration_set: str | None = None
    tags: dict = field(default_factory=dict)


class Identity:
    """The settings' history and the two verifications'."""

    def __init__(self, account, region: str, name: str, config: Config, now: float) -> None:
        self.account, self.region, self.name = account, region, name
        self.created, self.deleted = now, None
        self.versions = [(now, config)]
        self.dkim = Verification(now)
        # Which verification a MAIL FROM domain had since when; None without a domain.
        self.mail_froms: list = [(now, None)]
        self._due = now  # before then nothing can have come of what the DNS serves

    @property
    def config(self) -> Config:
        """The settings now."""
        return self.versions[-1][1]

    def config_at(self, at: float) -> Config:
        """The settings then."""
        return next((config for time, config in reversed(self.versions) if time <= at), self.versions[0][1])

    def mail_from_at(self, at: float) -> Verification | None:
        """The verification of the MAIL FROM domain of that time."""
        return next((verification for time, verification in reversed(self.mail_froms) if time <= at), None)

    def exists_at(self, at: float) -> bool:
        """Whether a read that lags would find it."""
        return self.created <= at and (self.deleted is None or self.deleted > at)

    def set(self, now: float, **changes) -> None:
        """Changes settings."""
        self._due = now
        self.versions.append((now, replace(self.config, **changes)))

    def set_mail_from(self, domain: str, behavior: str, now: float) -> None:
        """A Put starts the verification of a new domain, and a failed one's anew; a good one it leaves alone."""
        current = self.mail_froms[-1][1]
        if not domain:
            self.mail_froms.append((now, None))
        elif domain != self.config.mail_from or current is None:
            self.mail_froms.append((now, Verification(now)))
        elif current.status == FAILED and not self.account.settings["mail_from_restart_needs_clear"]:
            current.restart(now)
        self.set(now, mail_from=domain, behavior=behavior)

    def restart_dkim(self, now: float, **keys) -> None:
        """New keys, or the same again, whose verification starts anew."""
        self.set(now, key_made=now, **keys)
        self.dkim.restart(now)

    def wake(self, at: float) -> None:
        """From then on the DNS may serve something else."""
        self._due = min(self._due, at)

    def evolve(self, now: float) -> None:
        """Catches up with the DNS. Mostly there is nothing to catch up with, and a list asks this of a thousand."""
        if self.deleted is not None or now < self._due:
            return
        settings, config, mail_from = self.account.settings, self.config, self.mail_froms[-1][1]
        of_dkim = self._evolve(self.dkim, self.dkim_names(), self.dkim_problem, settings.delay("dkim", self.name), now)
        self._due = of_dkim
        if mail_from is not None:
            delay = settings.delay("mail_from", config.mail_from)
            self.wake(self._evolve(mail_from, [config.mail_from], self.mail_from_problem, delay, now))

    def _evolve(self, verification: Verification, names: list, problem, delay: float, now: float) -> float:
        """Catches up with what decides about one verification; answers when to look again at the latest."""
        changes = self.account.dns.changes(names, verification.looked, self)
        ahead = next((time for time in changes if time > now), math.inf)
        past = [time for time in changes if time <= now]
        verification.evolve(lambda at: problem(at) is None, past, delay, now)
        return min(ahead, verification.next_step(delay))

    def dkim_names(self) -> list:
        """The names that DKIM depends on."""
        return [f"{label}._domainkey.{self.name}" for label in self.config.tokens]

    def dkim_problem(self, at: float) -> Answer | None:
        """The first answer of public DNS that keeps DKIM from being right."""
        config, resolve = self.config, self.account.dns.resolve
        if config.origin == "EXTERNAL":
            answer = resolve(self.dkim_names()[0], "TXT", at)
            return None if any("p=" in value for value in answer.values) else answer
        for token, name in zip(config.tokens, self.dkim_names()):
            answer = resolve(name, "CNAME", at)
            if [canonical(value) for value in answer.values] != [f"{token}.{config.hosted_zone}"]:
                return answer
        return None

    def mail_from_problem(self, at: float) -> Answer | None:
        """SES wants exactly one MX, of priority 10, of the identity's own Region. The SPF record plays no part."""
        answer = self.account.dns.resolve(self.config.mail_from, "MX", at)
        found = [(value.split()[0], canonical(value.split()[-1])) for value in answer.values]
        return None if found == [("10", f"feedback-smtp.{self.region}.amazonses.com")] else answer

    def dkim_status_at(self, at: float) -> str:
        """What a read shows; for a moment after the creation it may be that SES has not started."""
        status = self.dkim.status_at(at)
        is_fresh = status == "PENDING" and at < self.created + HESITATION
        hesitates = is_fresh and self.account.settings.chance("hesitation", self.name) < 0.5
        return "NOT_STARTED" if hesitates else status

    def may_send_at(self, at: float) -> bool:
        """A domain goes on sending while SES still hopes that the records come back."""
        return self.exists_at(at) and self.dkim.status_at(at) in (SUCCESS, TEMPORARY_FAILURE)

    def refusals(self, now: float) -> list:
        """The periods in which SES would have refused to send: [(from, until)], `now` where one goes on."""
        end = self.deleted if self.deleted is not None else now
        times = {time for time, _ in (*self.versions, *self.mail_froms)} | set(self.dkim.times())
        times |= {time for _, verification in self.mail_froms if verification for time in verification.times()}
        times = sorted(time for time in times if self.created <= time < end)
        periods: list = []
        for start, until in zip(times, [*times[1:], end]):
            if not self._refuses_at(start):
                continue
            if periods and periods[-1][1] == start:
                periods[-1] = (periods[-1][0], until)
            elif until > start:
                periods.append((start, until))
        return periods

    def _refuses_at(self, at: float) -> bool:
        config, mail_from = self.config_at(at), self.mail_from_at(at)
        rejects = bool(config.mail_from) and config.behavior == "REJECT_MESSAGE"
        return rejects and self.may_send_at(at) and mail_from is not None and mail_from.status_at(at) != SUCCESS
