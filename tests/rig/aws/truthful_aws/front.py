"""Every request for AWS comes through here, and what is not ours goes on to moto."""

from __future__ import annotations

import io
import sys
import time
from dataclasses import dataclass
from urllib.parse import unquote

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from .account import Account, Accounts
from .control import Control
from .faults import error_of
from .incoming import AwsRequest, understand
from .names import canonical
from .route53_xml import Body
from .wire import AwsError, Response, answer_json, failure, throttled


class ConnectionDropped(Exception):
    """The caller gets no answer."""


@dataclass(frozen=True)
class Received:
    """A request as it came in."""

    method: str
    path: str  # undecoded
    query: str
    headers: dict  # names in lower case
    body: bytes


class Front:
    """Notes, limits, disturbs and answers requests."""

    def __init__(self) -> None:
        self._accounts = Accounts()
        self._control = Control(self._accounts)
        self._moto = DomainDispatcherApplication(create_backend_app)

    def answer(self, received: Received) -> Response:
        """The answer; or ConnectionDropped, when there shall be none."""
        if received.path == "/rig" or received.path.startswith("/rig/"):
            return self._control.answer(received.method, received.path, received.query, received.body)
        authorization = received.headers.get("authorization", "")
        request = understand(received.method, received.path, received.query, authorization, received.body)
        return self._answer(request, received)

    def _answer(self, request: AwsRequest, received: Received) -> Response:
        account = self._accounts.get(request.account)
        allowed = account.rate_limits.allows(
            account.settings["rate_limits"], request.service, request.region, request.operation, account.clock
        )
        sender = received.headers.get("user-agent", "")
        entry = account.log.arrived(request, sender, account.clock, account.zone_of(request), _changes(request))
        with account.lock:
            fault = account.faults.strike(request.service, request.operation, request.text)
        if fault:
            entry["fault"] = fault.kind
            if fault.kind in ("latency", "hang"):
                time.sleep(fault.seconds)
            if fault.kind in ("drop", "hang"):
                raise ConnectionDropped
        response = self._act(account, request, received, fault, allowed)
        account.log.done(entry)
        if fault and fault.kind == "lost_answer":
            raise ConnectionDropped
        entry["status"], entry["error"] = response.status, response.error
        return response

    def _act(self, account: Account, request: AwsRequest, received: Received, fault, allowed: bool) -> Response:
        service, operation = request.service, request.operation
        try:
            with account.lock:
                now = account.clock.now()
                error = fault and error_of(fault, request, now)
                if error:
                    raise error
                if not allowed:
                    raise throttled(service)
                answer = None
                if service == "ses":
                    answer = account.ses(request.region).call(operation, request.params)
                    answer = answer_json(answer) if answer is not None else None
                elif service == "route53":
                    answer = account.route53().call(operation, request.params, request.body)
                return answer if answer is not None else self._ask_moto(account, request, received)
        except AwsError as error:
            return failure(service, error)

    def _ask_moto(self, account: Account, request: AwsRequest, received: Received) -> Response:
        answer = Response(500, b"")

        def start_response(status, headers, _exc_info=None):
            answer.status = int(status.split()[0])
            answer.headers = [(name, value) for name, value in headers if name.lower() != "content-length"]

        answer.body = b"".join(self._moto(_environ(received, account.id), start_response))
        answer.error = f"HTTP {answer.status}" if answer.status >= 400 else None
        return answer


def _changes(request: AwsRequest) -> list | None:
    """A batch as the log tells it; None for everything else and for what can't be read."""
    if request.operation != "ChangeResourceRecordSets":
        return None
    try:
        changes = Body(request.body).changes()
    except AwsError:
        return None
    return [
        {"action": c.action, "name": canonical(c.record.name), "type": c.record.type, "values": list(c.record.values)}
        for c in changes
    ]


def _environ(received: Received, account_id: str) -> dict:
    """The request as moto, a WSGI application, wants it; with a header that tells it whose the request is."""
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in received.headers.items()}
    return {
        **headers,
        "HTTP_X_MOTO_ACCOUNT_ID": account_id,
        "REQUEST_METHOD": received.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(received.path),
        "QUERY_STRING": received.query,
        "CONTENT_TYPE": received.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(received.body)),
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(received.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
