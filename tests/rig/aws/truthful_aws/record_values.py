"""Which values Route 53 takes for a record. Loosely after its texts, since nobody has all of them."""

from __future__ import annotations

import ipaddress
import re

_HOST = re.compile(r"[A-Za-z0-9_*\\-]([A-Za-z0-9_*\\.-]*[A-Za-z0-9_*\\.-])?")
# One quoted string, with escapes; several may follow each other.
_STRING = re.compile(r'"((?:[^"\\]|\\[0-7]{3}|\\.)*)"\s*')
_ESCAPED = re.compile(r"\\([0-7]{3}|.)")


def problem(type_: str, value: str) -> str | None:
    """What Route 53 would say against a value; None when it takes it."""
    check = {"TXT": _txt, "SPF": _txt, "MX": _mx, "CNAME": _host, "NS": _host, "A": _a, "AAAA": _aaaa}.get(type_)
    found = check(value) if check else None
    return f"Invalid Resource Record: 'FATAL problem: {found} encountered with '{value}''" if found else None


def _txt(value: str) -> str | None:
    rest, total = value.strip(), 0
    if not rest.startswith('"'):
        return "InvalidCharacterString (Value should be enclosed in quotation marks)"
    while rest:
        match = _STRING.match(rest)
        if match is None:
            return "InvalidCharacterString (Value should be enclosed in quotation marks)"
        text = _ESCAPED.sub("x", match.group(1))
        if any(ord(character) > 126 or ord(character) < 32 for character in text):
            return "InvalidCharacterString (Value contains characters that must be escaped)"
        if len(text) > 255:
            return "CharacterStringTooLong (Value is too long)"
        total += len(text)
        rest = rest[match.end() :]
    return "TXTRDATATooLong (Value is too long)" if total > 4000 else None


def _mx(value: str) -> str | None:
    parts = value.split()
    if len(parts) != 2 or not parts[0].isdigit() or int(parts[0]) > 65535:
        return "MXRRDATAIllegalFormat (Value should be a priority and a host name)"
    return _host(parts[1])


def _host(value: str) -> str | None:
    plain = value.rstrip(".")
    legal = _HOST.fullmatch(plain) and ".." not in value and all(len(label) <= 63 for label in plain.split("."))
    return None if legal and len(plain) <= 253 else "DomainNameIllegal (Value is not a domain name)"


def _a(value: str) -> str | None:
    return _address(value, 4, "ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address)")


def _aaaa(value: str) -> str | None:
    return _address(value, 6, "AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address)")


def _address(value: str, version: int, complaint: str) -> str | None:
    try:
        return None if ipaddress.ip_address(value).version == version else complaint
    except ValueError:
        return complaint
