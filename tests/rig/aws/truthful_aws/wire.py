"""The shapes in which the three services answer, errors included: each has its own."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from xml.sax.saxutils import escape

ROUTE53_NAMESPACE = "https://route53.amazonaws.com/doc/2013-04-01/"
STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


@dataclass
class Response:
    """An answer before it goes out."""

    status: int
    body: bytes
    headers: list = field(default_factory=list)
    error: str | None = None


class AwsError(Exception):
    """An error that AWS would answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def answer_json(value: dict, status: int = 200) -> Response:
    """An answer of SES v2."""
    headers = [("Content-Type", "application/json"), ("x-amzn-RequestId", str(uuid.uuid4()))]
    return Response(status, json.dumps(value).encode(), headers)


def answer_xml(root: str, value: dict, status: int = 200, headers: tuple = ()) -> Response:
    """An answer of Route 53."""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{ROUTE53_NAMESPACE}">{elements(value)}</{root}>'
    common = [("Content-Type", "text/xml"), ("x-amzn-RequestId", str(uuid.uuid4()))]
    return Response(status, text.encode(), [*common, *headers])


class Xml(str):
    """Text that is XML already."""


def elements(value) -> str:
    """XML from dicts, lists (as repeated children: {"Tags": {"Tag": [..]}}) and plain values; None is left out."""
    if isinstance(value, Xml):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, dict):
        return escape(str(value))
    parts = []
    for tag, child in value.items():
        for one in child if isinstance(child, (list, tuple)) else [child]:
            if one is not None:
                parts.append(f"<{tag}>{elements(one)}</{tag}>")
    return "".join(parts)


def failure(service: str, error: AwsError) -> Response:
    """An error in the service's own shape."""
    if service == "ses":
        answer = answer_json({"message": error.message}, error.status)
        answer.headers.append(("x-amzn-ErrorType", error.code))
    else:
        kind = "Sender" if error.status < 500 else "Receiver"
        inner = {"Error": {"Type": kind, "Code": error.code, "Message": error.message}, "RequestId": str(uuid.uuid4())}
        answer = answer_xml("ErrorResponse", inner, error.status)
        if service == "sts":
            answer.body = answer.body.replace(ROUTE53_NAMESPACE.encode(), STS_NAMESPACE.encode())
    answer.error = error.code
    return answer


def throttled(service: str) -> AwsError:
    """Too many requests, as the service says it."""
    if service == "ses":
        return AwsError(429, "TooManyRequestsException", "Too Many Requests")
    return AwsError(400, "Throttling", "Rate exceeded")


def prior_request_not_complete() -> AwsError:
    """A change of a zone that came while Route 53 was busy with another one."""
    message = "The request was rejected because Route 53 was still processing a prior request."
    return AwsError(400, "PriorRequestNotComplete", message)


def denied(service: str, operation: str, account: str, resource: str) -> AwsError:
    """What a missing IAM permission looks like."""
    user = f"arn:aws:iam::{account}:user/ses-operator"
    message = f"User: {user} is not authorized to perform: {service}:{operation} on resource: {resource}"
    code = "AccessDeniedException" if service == "ses" else "AccessDenied"
    return AwsError(403, code, f"{message} because no identity-based policy allows the {service}:{operation} action")


def token_expired(service: str) -> AwsError:
    """What credentials get that nobody has renewed."""
    code = "ExpiredTokenException" if service == "ses" else "ExpiredToken"
    return AwsError(403, code, "The security token included in the request is expired")


def signature_expired(service: str, now: float) -> AwsError:
    """What a caller gets whose clock is half an hour slow. It holds the times of day, and is another text each time."""
    signed, first, received = (
        datetime.fromtimestamp(now - minutes * 60, timezone.utc).strftime("%Y%m%dT%H%M%SZ") for minutes in (30, 15, 0)
    )
    code = "InvalidSignatureException" if service == "ses" else "SignatureDoesNotMatch"
    text = f"Signature expired: {signed} is now earlier than {first} ({received} - 15 min.)"
    return AwsError(403, code, text)


def broken(service: str) -> AwsError:
    """A failure on AWS's side."""
    code = {"ses": "InternalServiceErrorException", "route53": "InternalFailure", "sts": "InternalFailure"}[service]
    return AwsError(500, code, "An internal error occurred.")
