r"""DNS names as Route 53 takes them and gives them back.

Inside this package a name is lower case, without the trailing dot and without escapes. Route 53 answers with the dot and
with everything outside `a-z 0-9 - _` as an octal escape, so a wildcard comes back as `\052.example.com.`.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\\([0-7]{3})")
_PLAIN = re.compile(r"[a-z0-9._-]")
_ALL_PLAIN = re.compile(r"[a-z0-9._-]*")


def canonical(name: str) -> str:
    """The one spelling of a name that is used for comparing."""
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), name).lower().rstrip(".")


def escaped(name: str) -> str:
    """The name as Route 53 answers it."""
    if _ALL_PLAIN.fullmatch(name):
        return name + "."
    return "".join(c if _PLAIN.match(c) else "\\%03o" % ord(c) for c in name) + "."


def order(name: str) -> str:
    """Route 53 lists by reversed labels, and the trailing dot takes part in the comparison."""
    return ".".join(reversed(escaped(name)[:-1].split("."))) + "."


def is_under(name: str, zone: str) -> bool:
    """Whether the name is the zone's own or below it."""
    return name == zone or name.endswith("." + zone)


def parents(name: str):
    """The names above, nearest first."""
    while "." in name:
        name = name.split(".", 1)[1]
        yield name
