"""Prints the chart's README: its head as it stands, and the table of values made from the comments in values.yaml.

A value is described by the comment before it that begins with `# -- `; the comment may go on in further lines.
"""

import sys
from pathlib import Path

CHART = Path(__file__).resolve().parent.parent / "charts" / "ses-operator"
MARK = "<!-- The table is made from values.yaml by config/generate. -->\n"


def rows(lines):
    path, said, whole = [], [], None
    for line in lines:
        text = line.strip()
        depth = (len(line) - len(line.lstrip())) // 2
        if whole is not None and text and depth > whole[0]:
            whole[2].append(line)
            continue
        if whole is not None:
            yield row(whole[1], "set, see values.yaml", whole[3])
            whole = None
        if text.startswith("# -- "):
            said = [text[5:]]
        elif text.startswith("#"):
            said.append(text[2:])
        elif text:
            name, _, value = text.partition(":")
            path = path[:depth] + [name]
            if value.strip():
                yield row(path, f"`{value.strip()}`", said)
            elif said:
                whole = (depth, list(path), [], said)
            said = []
    if whole is not None:
        yield row(whole[1], "set, see values.yaml", whole[3])


def row(path, value, said):
    if not said:
        sys.exit(f"values.yaml does not describe {'.'.join(path)}")
    return f"| `{'.'.join(path)}` | {value} | {' '.join(said)} |"


def main():
    head, mark, _ = (CHART / "README.md").read_text().partition(MARK)
    if not mark:
        sys.exit("the chart's README.md lacks the line before its table")
    table = ["| value | default | what it does |", "|---|---|---|"]
    table += rows((CHART / "values.yaml").read_text().splitlines())
    print(head + mark + "\n" + "\n".join(table))


main()
