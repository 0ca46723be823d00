#!/usr/bin/env python3
"""Who uses whom in services/, against the table of services/README.md: a room uses rooms of lower
levels only, and every room stands in the table once. Run by `./dev lint` and `./dev rooms`, which
also prints what each room uses."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

TABLE = "services/README.md"
ROW = re.compile(r"^\| (\d+|side) \| (.*?) \|")
RULES = 'kind("cc_library|cc_binary", //services/...)'


def read_levels(text):
    """By room, in the order of the table; `side` is above everything and used by nobody."""
    levels, errors = {}, []
    for line in text.split("\n"):
        if row := ROW.match(line):
            for room in re.findall(r"`([^`]+)`", row[2]):
                room = "proto" if room.startswith("//proto") else room
                if room in levels:
                    errors.append(f"{TABLE}: {room} stands there twice")
                levels[room] = float("inf") if row[1] == "side" else int(row[1])
    return levels, errors


def room_of(label):
    package = re.match(r"//(services|proto)/?([^:]*)", label)
    if not package:
        return None  # a library of the system
    return "proto" if package[1] == "proto" else package[2]


def read_uses():
    """By room, those that it uses."""
    answer = subprocess.run(["bazel", "query", "--noshow_progress", "--output=xml",
                             "--noimplicit_deps", RULES], check=True,
                            stdout=subprocess.PIPE).stdout
    uses = {}
    for rule in ElementTree.fromstring(answer).iter("rule"):
        room = room_of(rule.get("name"))
        # What is there for tests may use whatever it likes.
        for_tests = rule.find("boolean[@name='testonly'][@value='true']") is not None
        if for_tests or room.endswith("/testing"):
            continue
        used = uses.setdefault(room, set())
        labels = [label.get("value") for label in rule.findall("list[@name='deps']/label")]
        used.update(other for other in map(room_of, labels) if other is not None)
    for room, used in uses.items():
        used.discard(room)
    return uses


def check(levels, uses):
    for room in sorted(set(uses) - set(levels)):
        yield f"{TABLE}: {room} is missing"
    for room in sorted(set(levels) - set(uses) - {"proto"}):
        yield f"{TABLE}: there is no room {room}"
    for room in sorted(set(uses) & set(levels)):
        for other in sorted(uses[room]):
            if levels.get(other, 0) >= levels[room]:
                yield (f"services/{room} uses services/{other}, which is not below it: levels "
                       f"{levels[room]} and {levels[other]} of {TABLE}")


def main():
    with open(TABLE, encoding="utf-8") as table:
        levels, errors = read_levels(table.read())
    uses = read_uses()
    errors += check(levels, uses)
    if "--print" in sys.argv:
        for room in sorted(uses, key=lambda room: (levels.get(room, 0), room)):
            print(f"{levels.get(room, '?'):>4}  {room}: {', '.join(sorted(uses[room]))}")
    print("\n".join(errors) or f"rooms: {len(uses)} in {len(set(levels.values()))} levels")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
