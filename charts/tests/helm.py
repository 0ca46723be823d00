"""Helm and the chart, as the tests use them."""

import functools
import subprocess
import tempfile
from pathlib import Path

import yaml

CHARTS = Path(__file__).resolve().parents[1]
ROOT = CHARTS.parent
CHART = CHARTS / "dunlin"
MONITORING = "monitoring.coreos.com/v1"


@functools.lru_cache(maxsize=None)
def program():
    """Builds it the first time, which takes a few minutes."""
    return subprocess.run([CHARTS / "tools/helm/build.sh"], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.splitlines()[-1]


def helm(*arguments):
    done = subprocess.run([program(), *map(str, arguments)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stdout, done.stderr


def template(values=None, files=(), extra=()):
    """What is rendered, or what is said against it: (objects, error)."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values or {}, file)
        file.flush()
        arguments = [word for path in (*files, file.name) for word in ("--values", path)]
        status, text, said = helm("template", "shop", CHART, "--namespace", "mq",
                                  "--api-versions", MONITORING, *arguments, *extra)
    if status != 0:
        return None, said
    return [one for one in yaml.safe_load_all(text) if one], said


def alerts(values=None):
    """The rules of Prometheus, as the chart makes them."""
    objects, said = template({"monitoring": {"prometheusRule": {"enabled": True,
                                                               **(values or {})}}})
    assert objects is not None, said
    (rule,) = [one for one in objects if one["kind"] == "PrometheusRule"]
    return rule["spec"]
