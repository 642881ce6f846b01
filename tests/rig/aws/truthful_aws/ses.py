"""SES v2: the operations on domain identities, and the account's state. Configuration sets are moto's."""

from __future__ import annotations

import random
import re
from bisect import bisect_left
from itertools import islice

from moto.ses.models import ses_backends

from .identity import Config, Identity, signing_zone
from .names import canonical, is_under
from .ses_answers import account_answer, identity_answer, list_entry
from .verification import FAILED
from .wire import AwsError

ORIGIN = re.compile(r"AWS_SES_([A-Z0-9_]+)")


def bad_request(message: str) -> AwsError:
    """What SES answers to what it can't take."""
    return AwsError(400, "BadRequestException", message)


def missing(name: str) -> AwsError:
    """What most operations answer when there is no such identity."""
    return AwsError(404, "NotFoundException", f"Email identity {name} does not exist.")


class Ses:
    """The operations of one Region; each takes the request's parameters and answers a JSON object."""

    def __init__(self, account, region: str) -> None:
        self.account, self.region = account, region
        self.identities: dict = account.identities.setdefault(region, {})

    def call(self, operation: str, params: dict):
        """Runs an operation; None when it is not one of these."""
        method = getattr(self, operation, None) if operation[:1].isupper() else None
        return method(params) if method else None

    def CreateEmailIdentity(self, params: dict) -> dict:
        name, now = canonical(params.get("EmailIdentity") or ""), self.account.clock.now()
        if not name or "." not in name:
            raise bad_request(f"Invalid email identity {name!r}.")
        if name in self.identities:
            raise AwsError(400, "AlreadyExistsException", f"Email identity {name} already exist.")
        set_name = self._configuration_set(params.get("ConfigurationSetName"))
        tags = _tags(params.get("Tags") or [])
        config = self._keys(name, params.get("DkimSigningAttributes") or {}, now)
        identity = Identity(self.account, self.region, name, config, now)
        identity.set(now, configuration_set=set_name, tags=tags)
        self.account.add(identity)
        whole = identity_answer(identity, now)
        return {key: whole[key] for key in ("IdentityType", "VerifiedForSendingStatus", "DkimAttributes")}

    def GetEmailIdentity(self, params: dict) -> dict:
        now = self.account.clock.now()
        at = now - self.account.settings["read_lag"]
        return identity_answer(self._seen(params["EmailIdentity"], now, at), at)

    def ListEmailIdentities(self, params: dict) -> dict:
        now = self.account.clock.now()
        at = now - self.account.settings["read_lag"]
        names, size = self.account.names.get(self.region, []), min(int(params.get("PageSize") or 1000), 1000)
        first = bisect_left(names, params.get("NextToken") or "")
        found = (self._seen_at(names[index], at) for index in range(first, len(names)))
        page = list(islice((identity for identity in found if identity is not None), size + 1))
        for identity in page[:size]:
            identity.evolve(now)
        answer: dict = {"EmailIdentities": [list_entry(identity, at) for identity in page[:size]]}
        if len(page) > size:
            answer["NextToken"] = page[size].name
        return answer

    def DeleteEmailIdentity(self, params: dict) -> dict:
        identity, now = self._held(params), self.account.clock.now()
        replica = "AWS_SES_" + self.region.upper().replace("-", "_")
        for regional in self.account.identities.values():
            if identity.name in regional and regional[identity.name].config.origin == replica:
                raise bad_request(f"{identity.name} is the parent of replicas and can't be deleted.")
        identity.deleted = now
        del self.identities[identity.name]
        return {}

    def PutEmailIdentityMailFromAttributes(self, params: dict) -> dict:
        # Seen on AWS: this one answers a missing identity otherwise than most.
        identity = self._held(params, bad_request)
        domain = canonical(params.get("MailFromDomain") or "")
        behavior = params.get("BehaviorOnMxFailure") or "USE_DEFAULT_VALUE"
        now = self.account.clock.now()
        if behavior not in ("USE_DEFAULT_VALUE", "REJECT_MESSAGE"):
            raise bad_request(f"Unknown BehaviorOnMxFailure {behavior}.")
        if behavior == "REJECT_MESSAGE" and not domain:
            raise bad_request("BehaviorOnMxFailure REJECT_MESSAGE needs a MailFromDomain.")
        if domain and (domain == identity.name or not is_under(domain, identity.name)):
            raise bad_request(f"Provided MAIL-FROM domain <{domain}> is not subdomain of the domain of the identity.")
        if domain and self.account.settings["mail_from_needs_verified"] and not identity.may_send_at(now):
            raise bad_request(f"Identity {identity.name} is not verified.")
        identity.set_mail_from(domain, behavior, now)
        return {}

    def PutEmailIdentityDkimAttributes(self, params: dict) -> dict:
        self._held(params).set(self.account.clock.now(), signing_enabled=bool(params.get("SigningEnabled", False)))
        return {}

    def PutEmailIdentityDkimSigningAttributes(self, params: dict) -> dict:
        identity, now = self._held(params), self.account.clock.now()
        attributes = params.get("SigningAttributes") or {}
        attributes = {**attributes, "DomainSigningAttributesOrigin": params.get("SigningAttributesOrigin")}
        config, length = identity.config, attributes.get("NextSigningKeyLength")
        same_origin = attributes["DomainSigningAttributesOrigin"] == config.origin == "AWS_SES"
        if same_origin and length not in (None, config.next_key_length) and identity.dkim.status != FAILED:
            identity.set(now, next_key_length=length)  # a rotation: the tokens stay
        else:
            keys = self._keys(identity.name, attributes, now)
            keep = self.account.settings["restart_tokens"] == "same" and same_origin
            identity.restart_dkim(
                now,
                tokens=config.tokens if keep else keys.tokens,
                hosted_zone=keys.hosted_zone,
                origin=keys.origin,
                selector=keys.selector,
                current_key_length=keys.current_key_length,
                next_key_length=keys.next_key_length,
            )
        answer = identity_answer(identity, now)["DkimAttributes"]
        return {
            "DkimStatus": answer["Status"],
            "DkimTokens": answer.get("Tokens", []),
            "SigningHostedZone": answer.get("SigningHostedZone"),
        }

    def PutEmailIdentityFeedbackAttributes(self, params: dict) -> dict:
        enabled = bool(params.get("EmailForwardingEnabled", False))
        self._held(params, bad_request).set(self.account.clock.now(), feedback=enabled)
        return {}

    def PutEmailIdentityConfigurationSetAttributes(self, params: dict) -> dict:
        identity = self._held(params)
        name = self._configuration_set(params.get("ConfigurationSetName"))
        identity.set(self.account.clock.now(), configuration_set=name)
        return {}

    def TagResource(self, params: dict):
        identity = self._tagged(params)
        if identity is None:
            return None
        tags = {**identity.config.tags, **_tags(params.get("Tags") or [])}
        if len(tags) > 50:
            raise bad_request("A resource has at most 50 tags.")
        identity.set(self.account.clock.now(), tags=tags)
        return {}

    def UntagResource(self, params: dict):
        identity = self._tagged(params)
        if identity is None:
            return None
        keys = params.get("TagKeys") or []
        keys = [keys] if isinstance(keys, str) else keys
        kept = {key: value for key, value in identity.config.tags.items() if key not in keys}
        identity.set(self.account.clock.now(), tags=kept)
        return {}

    def ListTagsForResource(self, params: dict):
        identity = self._tagged(params)
        if identity is None:
            return None
        return {"Tags": [{"Key": key, "Value": value} for key, value in sorted(identity.config.tags.items())]}

    def GetAccount(self, _params: dict) -> dict:
        return account_answer(self.account.settings["production_access"])

    def ListRecommendations(self, _params: dict) -> dict:
        return {"Recommendations": []}

    def _held(self, params: dict, error=None) -> Identity:
        """The identity as it is now, caught up with the DNS."""
        name = canonical(params.get("EmailIdentity") or "")
        identity = self.identities.get(name)
        if identity is None:
            raise error(f"Email identity {name} does not exist.") if error else missing(name)
        identity.evolve(self.account.clock.now())
        return identity

    def _seen(self, name: str, now: float, at: float) -> Identity:
        """The identity as a read that lags finds it."""
        identity = self._seen_at(canonical(name), at)
        if identity is None:
            raise missing(canonical(name))
        identity.evolve(now)
        return identity

    def _seen_at(self, name: str, at: float) -> Identity | None:
        for identity in reversed(self.account.ever.get(self.region, {}).get(name, ())):
            if identity.exists_at(at):
                return identity
        return None

    def _tagged(self, params: dict):
        """The identity an ARN names; None when it names something else, which is moto's."""
        resource = (params.get("ResourceArn") or "").split(":", 5)[-1]
        kind, _, name = resource.partition("/")
        return self._held({"EmailIdentity": name}) if kind == "identity" else None

    def _configuration_set(self, name: str | None) -> str | None:
        if name and name not in ses_backends[self.account.id][self.region].config_sets:
            raise AwsError(404, "NotFoundException", f"Configuration set <{name}> does not exist.")
        return name or None

    def _keys(self, name: str, attributes: dict, now: float) -> Config:
        """DKIM as asked for: Easy DKIM, the caller's own key, or a replica of another Region's."""
        origin = attributes.get("DomainSigningAttributesOrigin")
        selector = attributes.get("DomainSigningSelector")
        if selector or origin == "EXTERNAL":
            if not selector or not attributes.get("DomainSigningPrivateKey"):
                raise bad_request("A selector and a private key are needed.")
            return Config((selector,), signing_zone(self.region), origin="EXTERNAL", selector=selector, key_made=now)
        replica = ORIGIN.fullmatch(origin or "")
        if replica:
            parent_region = replica.group(1).lower().replace("_", "-")
            parent = self.account.identities.get(parent_region, {}).get(name)
            if parent is None or parent.config.origin != "AWS_SES":
                raise bad_request(f"{name} in {parent_region} is not an Easy DKIM identity to replicate.")
            return Config(parent.config.tokens, parent.config.hosted_zone, origin=origin, key_made=now)
        length = attributes.get("NextSigningKeyLength") or "RSA_2048_BIT"
        dice = random.Random(f"{self.account.id}|{self.account.next_number()}|{self.region}|{name}")
        tokens = tuple("".join(dice.choices("abcdefghijklmnopqrstuvwxyz234567", k=32)) for _ in range(3))
        return Config(tokens, signing_zone(self.region), current_key_length=length, next_key_length=length, key_made=now)


def _tags(given: list) -> dict:
    tags = {tag["Key"]: tag.get("Value", "") for tag in given}
    if len(tags) > 50 or any(not key or len(key) > 128 or len(value) > 256 for key, value in tags.items()):
        raise bad_request("At most 50 tags, keys of 1 to 128 characters, values of at most 256.")
    return tags
