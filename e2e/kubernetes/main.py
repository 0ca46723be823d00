#!/usr/bin/env python3
"""Kubernetes with real nodes on this machine: `./dev nodes COMMAND`.

A control plane and nodes with containerd, kubelet and kube-proxy, each on a machine of its own that
is made of namespaces; nothing of this machine's own network takes part. docs/kubernetes.md shows
how to install the chart there.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from machines import Failure
from nodes import COUNT_MAX, ROOT, Nodes, check_possible

IMAGES = ("dunlin", "dunlin-operator", "dunlinctl", "dunlin-etcd")


def say(line):
    print(line, flush=True)


def programs():
    """Builds them the first time."""
    done = subprocess.run([ROOT / "operator/tools/kube/build.sh", "--nodes"],
                          stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failure("the programs of Kubernetes cannot be built")
    return Path(done.stdout.splitlines()[-1])


def images(source=ROOT):
    """Those that the chart uses, of a checkout."""
    names = IMAGES if (source / "charts/dunlin/templates/etcd.yaml").exists() else IMAGES[:-1]
    found = [source / "bin/images" / (name + ".tar") for name in names]
    missing = [str(path) for path in found if not path.exists()]
    if missing:
        raise Failure("there is no %s: `./dev image` makes it" % ", ".join(missing))
    return found


def up(nodes, options):
    if nodes.directory.exists():
        raise Failure("nodes are up already, or what is left of them: `./dev nodes status` shows "
                      "them, `./dev nodes down` removes them")
    archives = [] if options.no_images else images()
    try:
        nodes.up(programs(), options.nodes, archives)
    except BaseException:
        if not options.keep and nodes.directory.exists():
            nodes.down()
        raise
    say("""\
%d nodes are up; the files of all that runs are in %s.

  ./dev nodes kubectl get nodes
  ./dev nodes exec ./dev helm install ...     # docs/kubernetes.md
  ./dev nodes down""" % (len(nodes.nodes), nodes.directory))


def status(nodes, _):
    rows = list(nodes.rows())
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def execute(nodes, options):
    if not options.words:
        raise Failure("which command? `./dev nodes exec COMMAND ...`")
    command = nodes.control.machine.command(*options.words, directory=os.getcwd())
    os.environ["KUBECONFIG"] = str(nodes.control.kubeconfig())
    os.environ["PATH"] = "%s:%s" % (nodes.control.programs, os.environ["PATH"])
    os.execvp(command[0], command)


def kubectl(nodes, options):
    options.words.insert(0, str(nodes.control.programs / "kubectl"))
    execute(nodes, options)


def load(nodes, options):
    paths = [Path(path).resolve() for path in options.archives] or images()
    for node in nodes.nodes:
        node.load(paths)
    say("loaded %s" % ", ".join(path.name for path in paths))


def cut(nodes, options):
    nodes.control.network.cut(nodes.node(options.node).machine)
    say("nothing gets to %s or from it" % options.node)


def heal(nodes, _):
    for node in nodes.nodes:
        nodes.control.network.heal(node.machine)
    say("every node is connected")


def kill(nodes, options):
    commands = nodes.control.commands()
    if options.program not in commands:
        raise Failure("no such program: %s; there are: %s" % (options.program, ", ".join(commands)))
    if not nodes.control.machine.kill(options.program):
        raise Failure("%s does not run: `./dev nodes start` starts it" % options.program)
    say("killed %s" % options.program)


def start(nodes, _):
    started = nodes.control.start_what_is_missing()
    say("started " + ", ".join(started) if started else "everything runs")


def down(nodes, _):
    nodes.down()
    say("the nodes are gone, with all of their processes and files")


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="./dev nodes", description="Kubernetes with real nodes on this machine, in "
        "namespaces. Needs root. docs/kubernetes.md shows how to use it.")
    parser.add_argument("--id", type=int, default=0, choices=range(10), metavar="0..9",
                        help="when there are several of them (default: 0)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name, act, what):
        command = commands.add_parser(name, help=what, description=what)
        command.set_defaults(act=act)
        return command

    command = add("up", up, "start a control plane and nodes, and load the images of bin/images/")
    command.add_argument("--nodes", type=int, default=3, choices=range(1, COUNT_MAX + 1),
                         metavar="1..%d" % COUNT_MAX, help="how many (default: 3)")
    command.add_argument("--no-images", action="store_true", help="load none")
    command.add_argument("--keep", action="store_true", help="when it fails leave what there is")
    add("status", status, "show every machine, and what runs there")
    for name, act, what in (("kubectl", kubectl, "kubectl with the rights of an administrator"),
                            ("exec", execute, "run a command where nodes, pods and names of "
                             "Services are reached, with KUBECONFIG")):
        add(name, act, what)
    command = add("load", load, "load container images into every node")
    command.add_argument("archives", nargs="*", metavar="TAR",
                         help="docker-archives (default: of bin/images/ those that the chart uses)")
    command = add("cut", cut, "nothing gets to a node or from it")
    command.add_argument("node", metavar="NODE")
    add("heal", heal, "undo all cuts")
    command = add("kill", kill, "kill -9 a program of the control plane")
    command.add_argument("program", metavar="PROGRAM", help="kube-apiserver, etcd, ...")
    add("start", start, "start again what was killed")
    add("down", down, "stop everything, and leave nothing")
    # What comes behind these is theirs, options too.
    end = next((at + 1 for at, word in enumerate(arguments) if word in ("kubectl", "exec")), None)
    options = parser.parse_args(arguments[:end])
    options.words = arguments[end:] if end else []
    return options


def main():
    options = parse(sys.argv[1:])
    nodes = Nodes(options.id)
    try:
        check_possible()
        if options.command not in ("up", "down"):
            nodes.check_up()
        options.act(nodes, options)
    except Failure as failure:
        sys.exit("nodes: %s" % failure)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
