#!/usr/bin/env python3
"""The one door for every figure: `./dev bench --list`, `./dev bench NAME [N] [--quick]`.

Builds what the run needs, shows progress on standard error and ends with exactly one line of JSON
on standard output. The exit status is 0 only when the bound was kept and nothing was violated.
docs/benchmarks.md says what each run measures.
"""

import argparse
import subprocess
import sys

PROGRAM = "//:dunlin"

# name -> target, what it does
BENCHES = {
    "unary-vs-echo": ("//e2e/benchmarks:unary_vs_echo",
                      "SendMessage, 128 B, 64 outstanding, against a bare gRPC echo of the same"
                      " messages; N pairs of turns"),
}


def build(targets):
    """Builds optimised; returns the executables in the order of `targets`."""
    subprocess.run(["bazel", "build", "--config=opt", "--noshow_progress",
                    "--ui_event_filters=-info", *targets],
                   check=True, stdout=sys.stderr)
    return [subprocess.run(
        ["bazel", "cquery", "--config=opt", "--noshow_progress", "--ui_event_filters=-info",
         "--output=starlark", "--starlark:expr=target.files_to_run.executable.path", target],
        check=True, stdout=subprocess.PIPE, text=True).stdout.strip() for target in targets]


def list_benches():
    for name, (_, what) in BENCHES.items():
        print("%-14s %s" % (name, what))
    return 0


def main():
    parser = argparse.ArgumentParser(prog="./dev bench")
    parser.add_argument("name", nargs="?", help="one of --list")
    parser.add_argument("count", nargs="?", type=int, metavar="N", help="cycles or items")
    parser.add_argument("--quick", action="store_true", help="a cut that ends within a minute")
    parser.add_argument("--list", action="store_true", help="what there is")
    parser.add_argument("--seed", type=int, help="of everything random")
    arguments = parser.parse_args()
    if arguments.list:
        return list_benches()
    if arguments.name not in BENCHES:
        parser.error("which bench? There are: %s" % ", ".join(BENCHES))
    try:
        bench, program = build([BENCHES[arguments.name][0], PROGRAM])
    except subprocess.CalledProcessError as error:
        print("bench: %s" % error, file=sys.stderr)
        return 2
    command = [bench, "--program", program]
    if arguments.count is not None:
        command += ["--count", str(arguments.count)]
    if arguments.seed is not None:
        command += ["--seed", str(arguments.seed)]
    if arguments.quick:
        command.append("--quick")
    return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
