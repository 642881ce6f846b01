"""What a request asks for: whose it is, which operation, on what."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote

from moto.iam.models import get_account_id_from

DEFAULT_ACCOUNT = "123456789012"

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d+/([^/]+)/([^/]+)/aws4_request")
_OUR_KEY = re.compile(r"A[KS]IA(\d{12})")
_ROLE = re.compile(r"arn:[a-z-]+:iam::(\d{12}):")

_ZONE_NAME = re.compile(r"<Name>([^<]+)</Name>")

_IDENTITY = r"/v2/email/identities/(?P<EmailIdentity>[^/]+)"
_SET = r"/v2/email/configuration-sets/(?P<ConfigurationSetName>[^/]+)"
_API = r"/2013-04-01"
_ZONE = _API + r"/hostedzone/(?P<Id>[^/]+)"

# The wire names neither service's operation. What is missing here goes to moto and is logged by method and path.
_ROUTES = [
    (service, method, re.compile(path + "/?"), operation)
    for service, method, path, operation in [
        ("ses", "POST", "/v2/email/identities", "CreateEmailIdentity"),
        ("ses", "GET", "/v2/email/identities", "ListEmailIdentities"),
        ("ses", "POST", "/v2/email/list-identities", "ListEmailIdentities"),
        ("ses", "GET", _IDENTITY, "GetEmailIdentity"),
        ("ses", "DELETE", _IDENTITY, "DeleteEmailIdentity"),
        ("ses", "PUT", _IDENTITY + "/mail-from", "PutEmailIdentityMailFromAttributes"),
        ("ses", "PUT", _IDENTITY + "/dkim", "PutEmailIdentityDkimAttributes"),
        ("ses", "PUT", _IDENTITY + "/dkim/signing", "PutEmailIdentityDkimSigningAttributes"),
        ("ses", "PUT", _IDENTITY + "/feedback", "PutEmailIdentityFeedbackAttributes"),
        ("ses", "PUT", _IDENTITY + "/configuration-set", "PutEmailIdentityConfigurationSetAttributes"),
        ("ses", "POST", "/v2/email/tags", "TagResource"),
        ("ses", "DELETE", "/v2/email/tags", "UntagResource"),
        ("ses", "GET", "/v2/email/tags", "ListTagsForResource"),
        ("ses", "GET", "/v2/email/account", "GetAccount"),
        ("ses", "POST", "/v2/email/vdm/recommendations", "ListRecommendations"),
        ("ses", "POST", "/v2/email/configuration-sets", "CreateConfigurationSet"),
        ("ses", "GET", _SET, "GetConfigurationSet"),
        ("ses", "DELETE", _SET, "DeleteConfigurationSet"),
        ("route53", "POST", _API + "/hostedzone", "CreateHostedZone"),
        ("route53", "GET", _API + "/hostedzone", "ListHostedZones"),
        ("route53", "GET", _API + "/hostedzonesbyname", "ListHostedZonesByName"),
        ("route53", "GET", _ZONE, "GetHostedZone"),
        ("route53", "DELETE", _ZONE, "DeleteHostedZone"),
        ("route53", "POST", _ZONE + "/rrset", "ChangeResourceRecordSets"),
        ("route53", "GET", _ZONE + "/rrset", "ListResourceRecordSets"),
        ("route53", "GET", _API + r"/change/(?P<Id>[^/]+)", "GetChange"),
    ]
]


@dataclass
class AwsRequest:
    """One request, understood as far as this package needs."""

    account: str
    service: str
    region: str
    operation: str
    params: dict = field(default_factory=dict)
    body: bytes = b""

    @property
    def target(self) -> str | None:
        """The domain, zone or change it is about."""
        for key in ("EmailIdentity", "Id", "ResourceArn", "dnsname", "ConfigurationSetName", "Name", "RoleArn"):
            if self.params.get(key):
                return str(self.params[key]).rsplit("/", 1)[-1] if key != "RoleArn" else self.params[key]
        return None

    @property
    def text(self) -> str:
        """What a fault's `match` is looked for in."""
        return f"{json.dumps(self.params)} {self.body.decode(errors='replace')}"

    @property
    def resource(self) -> str:
        """The ARN that a missing permission would name."""
        if self.service == "route53":
            kind = "change" if self.operation == "GetChange" else "hostedzone"
            return f"arn:aws:route53:::{kind}/{self.target}" if self.params.get("Id") else "*"
        name = self.params.get("EmailIdentity")
        if self.service == "ses" and name:
            return f"arn:aws:ses:{self.region}:{self.account}:identity/{name}"
        return self.params.get("ResourceArn") or self.params.get("RoleArn") or "*"


def understand(method: str, path: str, query: str, authorization: str, body: bytes) -> AwsRequest:
    """Reads a request as far as the log, the faults and the operations need."""
    credential = _CREDENTIAL.search(authorization or "")
    key, region, service = credential.groups() if credential else ("", "us-east-1", "sts")
    params = {name: values[0] if len(values) == 1 else values for name, values in parse_qs(query).items()}
    operation = f"{method} {path}"
    if service == "sts":
        params.update({name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()})
        operation = params.get("Action", operation)
    for route_service, route_method, pattern, name in _ROUTES:
        match = pattern.fullmatch(path) if (route_service, route_method) == (service, method) else None
        if match:
            operation = name
            params.update({group: unquote(text) for group, text in match.groupdict().items()})
    if service == "ses" and body:
        params.update(_json(body))
    if operation == "CreateHostedZone":
        params.update({"Name": name for name in _ZONE_NAME.findall(body.decode(errors="replace"))})
    return AwsRequest(_account(key, params), service, region, operation, params, body)


def _account(key: str, params: dict) -> str:
    """Ours have the account in the access key; moto remembers whose the keys of assumed roles are."""
    ours = _OUR_KEY.match(key)
    if ours:
        return ours.group(1)
    role = _ROLE.match(str(params.get("RoleArn") or ""))  # a web identity's request is not signed
    if not key:
        return role.group(1) if role else DEFAULT_ACCOUNT
    return get_account_id_from(key)


def _json(body: bytes) -> dict:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
