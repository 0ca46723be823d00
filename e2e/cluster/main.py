#!/usr/bin/env python3
"""A whole cluster on this machine, each process where it would be: `./dev cluster COMMAND`.

Two name services, etcd, and two broker groups of three members, each in a network namespace of its
own, reachable from here over a bridge. To look at, to try clients against, and to break.
docs/cluster.md shows how.
"""

import argparse
import os
import sys

from cluster import GROUPS, HALVES, MACHINES, MEMBERS, NAMES, NAMES_PORT, Cluster
from network import Failure, check_possible

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def say(line):
    print(line, flush=True)


def up(cluster, options):
    cluster.check_can_be_made()
    try:
        cluster.up(options.mode, options.flush, options.settings)
    except BaseException:
        cluster.remove()
        raise
    masters = {group: cluster.master(group) or cluster.await_master(group) for group in GROUPS}
    control = "%s --endpoint %s" % (
        os.path.relpath(cluster.program("dunlinctl")),
        ",".join(cluster.address(name, NAMES_PORT) for name in NAMES))
    suffix = "" if cluster.number == 0 else " --id %d" % cluster.number
    say("""\
Cluster %d is up: mode %s, %s_FLUSH; masters are %s and %s. Its files are in %s.

  %s cluster list
  %s topic create orders
  %s produce orders "first message"
  %s consume orders --group me --count 1
  ./dev cluster kill %s%s         # another member takes over: ./dev cluster status%s
  ./dev cluster down%s

The access point of official SDKs is %s: docs/cluster.md goes on from here.""" % (
        cluster.number, options.mode, options.flush, masters["a"][0], masters["b"][0],
        cluster.directory, control, control, control, control, masters["a"][0], suffix, suffix,
        suffix, ";".join(cluster.address(name, NAMES_PORT) for name in NAMES)))


def status(cluster, _):
    rows = list(cluster.rows())
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def kill(cluster, options):
    before = cluster.network.pids(options.machine)
    cluster.kill(options.machine, options.half)
    killed = sorted(before.keys() - cluster.network.pids(options.machine).keys())
    if not killed:
        raise Failure("what is to be killed on %s does not run: `./dev cluster start %s` starts it"
                      % (options.machine, options.machine))
    say("killed %s on %s" % (" and ".join(killed), options.machine))
    if options.restart:
        tell_started(cluster.start([options.machine]))


def start(cluster, options):
    for machine in set(options.machines) - set(MACHINES):
        raise Failure("no such machine: %s; there are: %s" % (machine, ", ".join(MACHINES)))
    tell_started(cluster.start(options.machines or list(MACHINES)))


def tell_started(started):
    say("\n".join("started %s on %s" % (name, machine) for machine, name in started)
        or "everything runs")


def heal(cluster, _):
    healed = cluster.network.heal()
    say("mended all %d ways that were cut" % healed if healed else "no way was cut")


def down(cluster, _):
    cluster.down()
    say("cluster %d is gone, with all of its processes and files" % cluster.number)


def partition(cluster, options):
    cluster.partition(options.member, options.side, options.one_way)
    say("%s: %s" % (options.member, cluster.network_of(options.member)))


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="./dev cluster", description="A whole cluster on this machine, in network namespaces. "
        "Needs root, and the programs of ./dev build. docs/cluster.md has a tour.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name, act, what):
        command = commands.add_parser(name, help=what, description=what)
        command.set_defaults(act=act)
        command.add_argument("--id", type=int, default=0, choices=range(256), metavar="0..255",
                             help="of the cluster, when there is more than one (default: 0)")
        return command

    command = add("up", up, "start a cluster, and say what to do with it")
    command.add_argument("--mode", choices=["ASYNC", "SYNC", "QUORUM"], default="SYNC",
                         help="when a send is acknowledged (default: SYNC)")
    command.add_argument("--flush", choices=["ASYNC", "SYNC"], default="ASYNC",
                         help="store.flush_mode (default: ASYNC)")
    command.add_argument("--set", action="append", default=[], dest="settings",
                         metavar="SETTING=VALUE", help="of both programs of every member, as "
                         "docs/reference/config.md has it; more than once")
    command.add_argument("--programs", default=os.path.join(ROOT, "bin"), metavar="DIR",
                         help="where the programs are (default: bin/)")
    add("status", status, "show every member: role, epoch, lag, processes, network")
    command = add("kill", kill, "kill -9")
    command.add_argument("machine", choices=MACHINES, metavar="MACHINE",
                         help="a member (a-0 to b-2), etcd, name-0 or name-1")
    command.add_argument("--half", choices=HALVES, default="both",
                         help="of a member: only this of its processes")
    command.add_argument("--restart", action="store_true", help="and start it again")
    command = add("start", start, "start again what was killed")
    command.add_argument("machines", nargs="*", metavar="MACHINE", help="(default: all)")
    command = add("partition", partition, "cut the network between a member and others")
    command.add_argument("member", choices=MEMBERS, metavar="MEMBER", help="a-0 to b-2")
    command.add_argument("--from", choices=["coordinator", "group", "clients", "all"],
                         default="all", dest="side", help="whom (default: all)")
    command.add_argument("--one-way", action="store_true",
                         help="only what the member sends gets lost")
    add("heal", heal, "undo all cuts of the network")
    add("down", down, "stop everything, and leave nothing")
    return parser.parse_args(arguments)


def main():
    options = parse(sys.argv[1:])
    programs = os.path.abspath(options.programs) if options.command == "up" else None
    cluster = Cluster(options.id, programs)
    try:
        check_possible()
        if options.command not in ("up", "down"):
            cluster.check_up()
        options.act(cluster, options)
    except Failure as failure:
        sys.exit("cluster: %s" % failure)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
