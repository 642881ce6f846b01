"""Public DNS on the wire: each account has a name server of its own, a resolver for whoever is in that account."""

from __future__ import annotations

import re
import socket
import threading

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.TXT import TXT

HOST = "127.0.0.1"
# Whoever announces no size gets no more in a datagram.
DATAGRAM = 512
_STRING = re.compile(r'"((?:[^"\\]|\\[0-7]{3}|\\.)*)"')
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)


class NameServer:
    """Listens on one port over UDP and TCP, each in a thread that waits without waking up for nothing."""

    def __init__(self, account) -> None:
        self._account = account
        self._datagrams, self._connections = _same_port()
        self.address = f"{HOST}:{self._datagrams.getsockname()[1]}"
        self.queries: list = []  # what was asked, and with which code it was answered
        for serve in (self._serve_datagrams, self._serve_connections):
            threading.Thread(target=serve, daemon=True).start()

    def _serve_datagrams(self) -> None:
        while True:
            wire, caller = self._datagrams.recvfrom(65_535)
            reply = self._reply(wire, over_tcp=False)
            if reply is not None:
                self._datagrams.sendto(reply, caller)

    def _serve_connections(self) -> None:
        while True:
            connection, _ = self._connections.accept()
            threading.Thread(target=self._serve_connection, args=(connection,), daemon=True).start()

    def _serve_connection(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as incoming:
            while len(length := incoming.read(2)) == 2:
                reply = self._reply(incoming.read(int.from_bytes(length, "big")), over_tcp=True)
                if reply is None:
                    return
                connection.sendall(reply)

    def _reply(self, wire: bytes, over_tcp: bool) -> bytes | None:
        try:
            query = dns.message.from_wire(wire)
            question = query.question[0]
        except (dns.exception.DNSException, IndexError):
            return None
        type_ = dns.rdatatype.to_text(question.rdtype)
        with self._account.lock:
            answer = self._account.dns.resolve(question.name.to_text(), type_, self._account.clock.now())
            self.queries.append({"name": question.name.to_text(True).lower(), "type": type_, "code": answer.code})
        if answer.code == "SILENCE":
            return None
        response = dns.message.make_response(query, recursion_available=True)
        response.set_rcode(dns.rcode.from_text(answer.code))
        for name, target, ttl in answer.aliases:
            response.answer.append(_record_set(name, "CNAME", ttl, (target,)))
        if answer.values:
            response.answer.append(_record_set(answer.owner, type_, answer.ttl, answer.values))
        if over_tcp:
            return response.to_wire(max_size=65_535, prepend_length=True)
        size = query.payload if query.edns >= 0 else DATAGRAM
        return response.to_wire(max_size=max(size, DATAGRAM), prefer_truncation=True)


def _record_set(name: str, type_: str, ttl: int, values: tuple) -> dns.rrset.RRset:
    owner = dns.name.from_text(name, dns.name.root)
    return dns.rrset.from_rdata_list(owner, ttl, [_value(type_, value) for value in values])


def _value(type_: str, value: str) -> dns.rdata.Rdata:
    """A value of Route 53's on the wire."""
    if type_ == "TXT":
        # Its escapes are octal; those of master files, which the library reads, are decimal.
        strings = [_ESCAPE.sub(_byte, text.encode("latin-1")) for text in _STRING.findall(value)]
        return TXT(dns.rdataclass.IN, dns.rdatatype.TXT, strings)
    # Names are absolute with and without the last dot.
    return dns.rdata.from_text("IN", type_, value, origin=dns.name.root, relativize=False)


def _byte(escape: re.Match) -> bytes:
    code = escape.group(1)
    return bytes([int(code, 8)]) if len(code) == 3 else code


def _same_port() -> tuple:
    """Two sockets on one port that the system chose: it may be taken for the one when it is free for the other."""
    for _ in range(20):
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind((HOST, 0))
        try:
            return datagrams, socket.create_server(datagrams.getsockname())
        except OSError:
            datagrams.close()
    raise OSError("no port is free for both UDP and TCP")
