#!/bin/bash
# Commands that cannot be undone ask on a terminal, and go on with --yes only elsewhere. No broker is
# there: whoever goes on ends with 3.
python3 - "$1" <<'PYTHON'
import os
import pty
import subprocess
import sys

USAGE, UNREACHABLE = 2, 3
DUNLINCTL = [sys.argv[1], "--endpoint", "127.0.0.1:1", "--timeout", "1"]
COMMANDS = [["topic", "delete", "t"], ["group", "delete", "g"], ["dlq", "purge", "g", "--all"],
            ["user", "delete", "u"]]


def on_terminal(command, answer):
    terminal, end = pty.openpty()
    process = subprocess.Popen(DUNLINCTL + command, stdin=end, stdout=end, stderr=end)
    os.close(end)
    shown = ""
    while "[y/N]" not in shown:
        shown += os.read(terminal, 1000).decode()  # fails when it ends without asking
    os.write(terminal, answer.encode())
    status = process.wait()
    os.close(terminal)
    return status


for command in COMMANDS:
    refused = subprocess.run(DUNLINCTL + command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             text=True)
    assert refused.returncode == USAGE and "--yes" in refused.stderr, (command, refused)
    assert subprocess.run(DUNLINCTL + command + ["--yes"], stdin=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == UNREACHABLE, command
    for answer, status in {"y\n": UNREACHABLE, "yes\n": UNREACHABLE, "n\n": USAGE, "\n": USAGE,
                           "\x04": USAGE}.items():
        assert on_terminal(command, answer) == status, (command, answer)
PYTHON
