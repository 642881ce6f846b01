"""Prints docs/sizing.md: its prose as it stands, and between two marks the tables made from tests/rig/bench.json."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- From here on made from tests/rig/bench.json by config/generate. -->\n", "<!-- To here. -->\n"
SIZES = (1, 100, 1_000, 10_000)
OWN, SHARED = "own", "shared"
# Calls a second that the operator allows itself.
LIMITS = {"ses": 0.9, "route53": 3.0}


class Bench:
    def __init__(self, record):
        unscaled = [figure for figure in record["figures"] if figure["part"] == "unscaled"]
        others = [figure for figure in record["figures"] if figure["part"] != "unscaled"]
        # What was measured unscaled is not shown beside the same as scaled.
        self.figures = {(one["figure"], one["zones"], one["n"]): one for one in unscaled + others}
        self.calls = record["calls"]

    def of(self, name, zones, n):
        figure = self.figures.get((name, zones, n))
        return figure and figure["measured"]

    def cells(self, name, zones, tell, unit=""):
        """A figure of each size; both layouts in one cell where `zones` is None."""
        return [span([self.of(name, layout, n) for layout in ([zones] if zones else [OWN, SHARED])], tell, unit) for n in SIZES]


def span(values, tell, unit):
    told = [tell(value) for value in sorted(value for value in values if value is not None)]
    if not told:
        return "–"
    return " to ".join(dict.fromkeys((told[0], told[-1]))) + unit


def count(value):
    """Whole calls, but of what is small."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")


def minutes(seconds):
    return f"{seconds / 60:.0f}"


def whole(value):
    return f"{value:.0f}"


def tenths(value):
    return f"{value:.1f}"


def hundredths(value):
    return f"{value:.2f}"


def table(head, rows, sizes=SIZES):
    lines = [[head] + [f"{n:,} domain{'s' if n > 1 else ''}" for n in sizes]]
    lines += [[name] + cells[: len(sizes)] for name, cells in rows]
    told = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([told[0], "|---" * len(lines[0]) + "|", *told[1:]]) + "\n"


def reckoned(bench, one_bucket):
    """How long 10,000 domains take at least, by the calls of 1,000: the busiest quota decides."""
    calls = bench.calls.get("ready", {}).get("ready-own-1000" + ("-one-bucket" if one_bucket else ""))
    if not calls:
        return "–"
    ses = [number for name, number in calls.items() if name.startswith("ses ")]
    route53 = sum(number for name, number in calls.items() if name.startswith("route53 "))
    busiest = max((sum(ses) if one_bucket else max(ses)) / LIMITS["ses"], route53 / LIMITS["route53"])
    return f"about {10 * busiest / 3_600:.0f} h, reckoned"


def until_ready(bench):
    each = lambda name, zones, what: (what, bench.cells(name, zones, count))  # noqa: E731
    yield table(
        "for each domain",
        [
            each("SES calls for each domain until Ready", None, "SES calls"),
            each("Route 53 calls for each domain until Ready", OWN, "Route 53 calls, zones of their own"),
            each("Route 53 calls for each domain until Ready", SHARED, "Route 53 calls, all in one zone"),
            each("API-server requests for each domain until Ready, events apart", None, "requests to the API server"),
            each("events for each domain until Ready", None, "events"),
        ],
        SIZES[:-1],
    )
    rows = []
    for name, words in (
        ("an SES bucket for each operation", "a quota for each operation of SES"),
        ("one SES bucket for all", "one quota for all operations (`--ses-shared-limit`)"),
    ):
        figure = f"time until all are Ready, {name}"
        cells = bench.cells(figure, None, minutes, " min")
        cells[-1] = reckoned(bench, name.startswith("one")) if cells[-1] == "–" else cells[-1]
        rows.append((words, cells))
        rows.append((f"{words}, ÷ the least", bench.cells(f"time until all are Ready ÷ bound, {name}", None, hundredths)))
    yield table("until all are Ready", rows)


def settled(bench):
    rows = []
    for zones, words in ((OWN, "zones of their own"), (SHARED, "all in one zone")):
        rows += [
            (f"calls to AWS in an hour, {words}", bench.cells("AWS calls in an hour, settled", zones, count)),
            (f"resident memory, {words}", bench.cells("resident memory, settled", zones, whole, " MiB")),
        ]
    peak = bench.cells("peak resident memory until all are Ready", None, whole, " MiB")
    rows += [
        ("resident memory at most, until all are Ready", peak),
        ("writes in AWS by a restart", bench.cells("AWS writes of a restart and the hours after it", None, count)),
        ("start to ready", bench.cells("process start to ready", None, tenths, " s")),
        ("start until all are known", bench.cells("process start until all domains are known", None, tenths, " s")),
    ]
    yield table("", rows)
    idle = bench.of("resident memory without domains", None, 0)
    if idle is not None:
        yield f"An operator without domains takes {idle:.0f} MiB.\n"


def main():
    head, begin, rest = (ROOT / "docs/sizing.md").read_text().partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        sys.exit("docs/sizing.md lacks the marks between which its tables are made")
    bench = Bench(json.loads((ROOT / "tests/rig/bench.json").read_text()))
    made = ["## Until a domain is Ready\n", *until_ready(bench), "## Settled\n", *settled(bench)]
    print(head + begin + "\n" + "\n".join(made) + "\n" + end + tail, end="")


main()
