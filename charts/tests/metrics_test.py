"""Metrics that alerts and dashboards use, against real programs under some load: one dunlin, and a
broker group of two members with a name service, scraped by a real Prometheus."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

import helm
from kube import free_ports

sys.path.insert(0, str(helm.CHARTS / "tools"))
import dashboards  # pylint: disable=wrong-import-position

PROGRAMS = helm.ROOT / "bin"
OPERATOR = helm.ROOT / "operator/program"  # its metrics are looked up in its source
PATIENCE_SECONDS = 90
# Of Prometheus itself.
OWN = {"up", "ALERTS"}
WORDS = {"and", "or", "on", "by", "sum", "max", "min", "count", "rate", "increase", "topk",
         "without", "unless", "max_over_time", "avg_over_time",
         "le", "ignoring", "histogram_quantile", "predict_linear", "time"}
# Without a message that was given up there is no dead-letter topic.
MAY_BE_EMPTY = {"Dead letters"}


def metrics_of(expression):
    """Names of metrics in a query."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\boffset \w+", "", bare)
    bare = re.sub(r"\b(by|on|without|ignoring) \([^)]*\)", "", bare)
    return set(re.findall(r"[A-Za-z_:][\w:]*", bare)) - WORDS


def queries():
    """Title of the panel and expression, of all dashboards."""
    for file in sorted((helm.CHART / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                yield file.stem, panel["title"], target["expr"]


def expressions():
    for group in helm.alerts()["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for file, title, expression in queries():
        yield "%s: %s" % (file, title), expression


def substituted(expression):
    return re.sub(r"\$\w+", lambda found: "10s" if "interval" in found[0] else ".*", expression)


class Programs:
    """Real programs, on ports of this machine."""

    def __init__(self, home):
        self.home, self.running = home, []
        self.targets = []  # (job, labels, port)

    def start(self, name, program, *arguments, port=None, **labels):
        log = self.home / (name + ".log")
        with open(log, "wb") as output:
            process = subprocess.Popen([program, *map(str, arguments)], stdout=output,
                                       stderr=output, cwd=self.home)
        self.running.append(process)
        if port is not None:
            self.targets.append((name, labels, port))
        return log

    def dunlin(self, name, program, settings, port, namespace="mq", **labels):
        path = PROGRAMS / program
        if not os.access(path, os.X_OK):
            raise RuntimeError("%s is not there: run ./dev build" % path)
        arguments = [word for key, value in settings.items()
                     for word in ("--set", "%s=%s" % (key, value))]
        log = self.start(name, path, *arguments, port=port, namespace=namespace, **labels)
        await_(lambda: "is ready on" in log.read_text(errors="replace"),
               "%s is not ready: %s" % (name, log))

    def control(self, port, *arguments):
        done = subprocess.run([PROGRAMS / "dunlinctl", "--endpoint", "127.0.0.1:%d" % port,
                               *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def stop(self):
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            process.wait()


def await_(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def get(port, path):
    with urllib.request.urlopen("http://127.0.0.1:%d%s" % (port, path), timeout=10) as answer:
        return answer.read().decode()


class MetricsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.programs = Programs(Path(scratch.name))
        cls.addClassCleanup(cls.programs.stop)
        cls.start_alone()
        cls.start_group()
        cls.send(cls.alone)
        cls.send(cls.master)
        cls.start_prometheus()

    @classmethod
    def start_alone(cls):
        """One dunlin, with a name service of its own."""
        cls.alone, names, metrics = free_ports(3)
        cls.programs.dunlin("alone", "dunlin", {
            "data_dir": cls.programs.home / "alone",
            "server.listen_address": "127.0.0.1:%d" % cls.alone,
            "name_service.server.listen_address": "127.0.0.1:%d" % names,
            "metrics.listen_address": "127.0.0.1:%d" % metrics}, metrics, pod="alone",
            namespace="alone")

    @classmethod
    def start_group(cls):
        names, names_metrics = free_ports(2)
        cls.programs.dunlin("names", "dunlin-nameservice", {
            "data_dir": cls.programs.home / "names", "registry.start_grace_ms": 100,
            "server.listen_address": "127.0.0.1:%d" % names,
            "metrics.listen_address": "127.0.0.1:%d" % names_metrics}, names_metrics, pod="names")
        replicators = free_ports(2)
        members = ", ".join("%s=127.0.0.1:%d" % pair for pair in zip("ab", replicators))
        for member, replicator in zip("ab", replicators):
            port, metrics, replicator_metrics = free_ports(3)
            settings = {
                "data_dir": cls.programs.home / member, "broker.broker_name": "group",
                "broker.name_services": "127.0.0.1:%d" % names,
                "server.listen_address": "127.0.0.1:%d" % port,
                "metrics.listen_address": "127.0.0.1:%d" % metrics,
                "replication.member": member, "replication.members": members,
                "replication.master": "a", "replication.mode": "SYNC",
                "replication.listen_address": "127.0.0.1:%d" % replicator,
                "replication.metrics_listen_address": "127.0.0.1:%d" % replicator_metrics}
            labels = {"group": "group", "pod": "group-" + member}
            (cls.programs.home / member).mkdir()
            for program, at in (("dunlin-replicator", replicator_metrics),
                                ("dunlin-broker", metrics)):
                cls.programs.dunlin("%s-%s" % (program, member), program, settings, at, **labels)
            if member == "a":
                cls.master = port
        await_(lambda: "dunlin_broker_master" in cls.scraped("dunlin-broker-a") and
               re.search(r"^dunlin_replicator_accepting 1", cls.scraped("dunlin-replicator-a"),
                         re.M), "nobody became master")

    @classmethod
    def scraped(cls, name):
        (port,) = [port for job, _, port in cls.programs.targets if job == name]
        return get(port, "/metrics")

    @classmethod
    def send(cls, port):
        """20 messages, of which 5 are done."""
        control = cls.programs.control
        control(port, "topic", "create", "orders", "--queues", "1")
        control(port, "produce", "orders", "order", "--count", "20")
        control(port, "consume", "orders", "--group", "shop", "--count", "5")

    @classmethod
    def start_prometheus(cls):
        (cls.prometheus,) = free_ports(1)
        rules = cls.programs.home / "rules.yaml"
        rules.write_text(yaml.safe_dump(helm.alerts()))
        config = cls.programs.home / "prometheus.yaml"
        config.write_text(yaml.safe_dump({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": job, "static_configs": [
                {"targets": ["127.0.0.1:%d" % port], "labels": labels}]}
                for job, labels, port in cls.programs.targets]}))
        cls.programs.start("prometheus", "prometheus", "--config.file=%s" % config,
                           "--storage.tsdb.path=%s" % (cls.programs.home / "tsdb"),
                           "--web.listen-address=127.0.0.1:%d" % cls.prometheus)
        count = len(cls.programs.targets)
        await_(lambda: cls.answers("count(count_over_time(up[5s]) >= 4) == %d" % count),
               "Prometheus does not see all programs")

    @classmethod
    def answers(cls, expression):
        """The series of a query; nothing when Prometheus is not there yet."""
        try:
            answer = json.loads(get(cls.prometheus, "/api/v1/query?" + urllib.parse.urlencode(
                {"query": expression})))
        except ConnectionError:
            return []
        except urllib.error.HTTPError as refused:
            if refused.code == 503:
                return []
            raise AssertionError("%s: %s" % (expression, refused.read().decode())) from refused
        except urllib.error.URLError:
            return []
        return answer["data"]["result"]

    def test_dashboards_are_those_of_the_generator(self):
        there = {file.name: file.read_text()
                 for file in (helm.CHART / "dashboards").glob("*.json")}
        self.assertEqual(dict(dashboards.DASHBOARDS), there, "run charts/tools/dashboards.py")

    def test_every_metric_that_is_used_is_exported(self):
        exported = set(OWN)
        for job, _, _ in self.programs.targets:
            exported |= {name.split("{")[0].split()[0] for name in self.scraped(job).splitlines()
                         if name and not name.startswith("#")}
        sources = "".join(path.read_text() for path in OPERATOR.glob("*.cc"))
        for where, expression in expressions():
            for name in metrics_of(expression):
                if name.startswith("dunlin_operator_"):
                    # Its families are named by their ends; histograms have three series.
                    end = re.sub(r"_bucket$", "", name.removeprefix("dunlin_operator_"))
                    if OPERATOR.exists():
                        self.assertRegex(sources, r'"(dunlin_operator_)?%s"' % end, where)
                else:
                    self.assertIn(name, exported, where)

    def test_every_panel_has_data(self):
        for file, title, expression in queries():
            found = self.answers(substituted(expression))
            if file != "operator" and title not in MAY_BE_EMPTY:
                self.assertTrue(found, "%s: %s: %s" % (file, title, expression))

    def test_values_are_true(self):
        def value(expression):
            (series,) = self.answers(expression)
            return float(series["value"][1])
        for pod in ("alone", "group-a"):
            self.assertEqual(20, value('rocketmq_messages_in_total{pod="%s",topic="orders"}' % pod))
            self.assertEqual(15, value('rocketmq_consumer_lag_messages{pod="%s"}' % pod))
            self.assertEqual(5, value('dunlin_group_done_messages_total{pod="%s"}' % pod))
            self.assertGreater(value('rocketmq_consumer_lag_latency{pod="%s"}' % pod), 0)
        self.assertEqual(2, value("sum(dunlin_broker_master)"), "a broker alone, and a master")
        self.assertEqual(2, value("count(dunlin_replicator_role)"))
        self.assertEqual(2, value('dunlin_replicator_in_sync_members{pod="group-a"}'))
        self.assertEqual(0, value('dunlin_replicator_lag_seconds{pod="group-a",member="b"}'))
        self.assertEqual([], self.answers('rocketmq_messages_in_total{pod="group-b"}'))

    def test_a_sound_cluster_alerts_nobody(self):
        groups = json.loads(get(self.prometheus, "/api/v1/rules"))["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        self.assertEqual({"ok"}, {rule["health"] for rule in rules})
        # Nobody goes on consuming, which is noticed; the rest is as it should be.
        self.assertLessEqual({rule["name"] for rule in rules if rule["state"] != "inactive"},
                             {"DunlinGroupWithoutConsumers"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
