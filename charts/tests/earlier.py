"""The chart as it was before its present version, out of the history that git has."""

import subprocess

import yaml

FILE = "charts/dunlin/Chart.yaml"


class NoHistory(Exception):
    """Why there is no earlier chart, with the way out."""


def git(root, *words, **options):
    return subprocess.run(["git", "-C", root, *words], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **options)


def version_at(root, commit):
    """None: there is no such commit, or no chart in it."""
    shown = git(root, "show", "%s:./%s" % (commit, FILE))
    return yaml.safe_load(shown.stdout)["version"] if shown.returncode == 0 else None


def commit_before(root):
    """The last one in which the chart had another version than in the tree that is there now. Of
    merges the first parent counts: what a side branch had is not what was there."""
    now = yaml.safe_load((root / FILE).read_text())["version"]
    head = git(root, "rev-parse", "--verify", "HEAD:./" + FILE, text=True)
    if head.returncode != 0:
        raise NoHistory(
            "%s is not a clone of the repository, and the chart before %s is in its history alone: "
            "run this in a clone (git says: %s)" % (root, now, head.stderr.strip()))
    changes = git(root, "log", "--first-parent", "--format=%H", "--", FILE, text=True)
    for commit in ["HEAD", *(change + "^" for change in changes.stdout.split())]:
        if version_at(root, commit) not in (None, now):
            return git(root, "rev-parse", commit, text=True).stdout.strip()
    if git(root, "rev-parse", "--is-shallow-repository", text=True).stdout.strip() == "true":
        raise NoHistory("this clone is shallow and ends before the chart became %s: run `git fetch "
                        "--unshallow`" % now)
    raise NoHistory("the chart never had another version than %s: raise `version` in %s" %
                    (now, FILE))


def extract(root, commit, paths, into):
    """These files and directories, as they were."""
    packed = git(root, "archive", "--format=tar", commit, *paths)
    if packed.returncode != 0:
        raise NoHistory("%s does not have all of %s: %s" % (
            commit, ", ".join(paths), packed.stderr.decode().strip()))
    subprocess.run(["tar", "-x", "-C", into], input=packed.stdout, check=True)
