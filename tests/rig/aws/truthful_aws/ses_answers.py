"""How SES v2 shows an identity."""

from __future__ import annotations

from .identity import Identity
from .verification import SUCCESS


def identity_answer(identity: Identity, at: float) -> dict:
    """The answer of GetEmailIdentity, as of a time."""
    config, status = identity.config_at(at), identity.dkim_status_at(at)
    answer = {
        "IdentityType": "DOMAIN",
        "FeedbackForwardingStatus": config.feedback,
        "VerifiedForSendingStatus": identity.may_send_at(at),
        "VerificationStatus": status,
        "VerificationInfo": _verification_info(identity, at, status),
        "DkimAttributes": _dkim(identity, at, status),
        "MailFromAttributes": _mail_from(identity, at),
        "Policies": {},
        "Tags": [{"Key": key, "Value": value} for key, value in sorted(config.tags.items())],
    }
    if config.configuration_set:
        answer["ConfigurationSetName"] = config.configuration_set
    return answer


def list_entry(identity: Identity, at: float) -> dict:
    """One entry of ListEmailIdentities: no DKIM and no MAIL FROM."""
    return {
        "IdentityType": "DOMAIN",
        "IdentityName": identity.name,
        "SendingEnabled": identity.may_send_at(at),
        "VerificationStatus": identity.dkim_status_at(at),
    }


def account_answer(production: bool) -> dict:
    """The answer of GetAccount, in the sandbox or out of it."""
    quota = {"Max24HourSend": 50000.0, "MaxSendRate": 14.0} if production else {"Max24HourSend": 200.0, "MaxSendRate": 1.0}
    return {
        "DedicatedIpAutoWarmupEnabled": False,
        "EnforcementStatus": "HEALTHY",
        "ProductionAccessEnabled": production,
        "SendQuota": {**quota, "SentLast24Hours": 0.0},
        "SendingEnabled": True,
        "SuppressionAttributes": {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]},
    }


def _dkim(identity: Identity, at: float, status: str) -> dict:
    config = identity.config_at(at)
    answer = {
        "SigningEnabled": config.signing_enabled,
        "Status": status,
        "Tokens": list(config.tokens),
        "SigningAttributesOrigin": config.origin,
        "LastKeyGenerationTimestamp": config.key_made,
    }
    if config.origin != "EXTERNAL":
        answer["SigningHostedZone"] = config.hosted_zone
        answer["CurrentSigningKeyLength"] = config.current_key_length
        answer["NextSigningKeyLength"] = config.next_key_length
    return answer


def _mail_from(identity: Identity, at: float) -> dict:
    config, verification = identity.config_at(at), identity.mail_from_at(at)
    answer = {"BehaviorOnMxFailure": config.behavior}
    if config.mail_from and verification:
        answer = {
            "MailFromDomain": config.mail_from,
            "MailFromDomainStatus": verification.status_at(at),
            **answer,
        }
    return answer


def _verification_info(identity: Identity, at: float, status: str) -> dict:
    info: dict = {"LastCheckedTimestamp": at}
    problem = identity.dkim_problem(at)
    if status == SUCCESS:
        info["LastSuccessTimestamp"] = at
    if problem is not None:
        info["ErrorType"] = problem.error_type
    elif status == SUCCESS and identity.account.settings.chance("stale error", identity.name) < 0.5:
        # Seen on AWS: the error of the first look can stay for ever, so nobody may read it beside SUCCESS.
        info["ErrorType"] = "HOST_NOT_FOUND"
    return info
