"""The Helm chart: what it renders, what it refuses, and what a real API server says to it."""

import base64
import copy
import json
import os
import re
import shlex
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

import yaml

import helm
from kube import ControlPlane

OPERATOR = helm.ROOT / "operator"
VALUES = sorted((helm.CHART / "ci").glob("*-values.yaml"))
HERE = Path(__file__).resolve().parent


def named(objects, kind):
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def by_resource(rules):
    """(API group, resource) → verbs."""
    return {(rule["apiGroups"][0], resource): set(rule["verbs"])
            for rule in rules for resource in rule["resources"]}


def text_of(secret, key):
    return base64.b64decode(secret["data"][key]).decode()


def pod_specs(objects):
    for one in objects:
        if one["kind"] == "Pod":
            yield one["metadata"]["name"], one["spec"]
        elif one["kind"] in ("Deployment", "StatefulSet"):
            yield one["metadata"]["name"], one["spec"]["template"]["spec"]


class ChartTest(unittest.TestCase):
    def rendered(self, values=None, files=()):
        objects, said = helm.template(values, files)
        self.assertIsNotNone(objects, said)
        return objects

    def test_lint(self):
        for file in VALUES:
            status, text, said = helm.helm("lint", "--strict", helm.CHART, "--values", file)
            self.assertEqual(0, status, text + said)

    def test_values_are_documented_by_the_schema_and_the_schema_by_values(self):
        with open(helm.CHART / "values.schema.json") as file:
            schema = yaml.safe_load(file)
        with open(helm.CHART / "values.yaml") as file:
            values = yaml.safe_load(file)
        self.assertEqual(set(schema["properties"]) - {"global"}, set(values))

    def test_images_are_of_the_version_of_the_programs(self):
        with open(helm.CHART / "Chart.yaml") as file:
            tag = yaml.safe_load(file)["appVersion"]
        programs = (helm.ROOT / "services/base/version.h").read_text()
        self.assertEqual(tag, re.search(r'kVersion = "([^"]+)"', programs)[1])

    def test_nonsense_is_refused(self):
        with open(HERE / "refused.yaml") as file:
            table = yaml.safe_load(file)
        for row in table:
            objects, said = helm.template(row["values"])
            self.assertIsNone(objects, "%s was taken" % row["values"])
            for word in row["words"]:
                self.assertIn(word, said, row["values"])

    def test_crds_are_those_of_the_operator(self):
        with tempfile.TemporaryDirectory() as scratch:
            status, text, said = helm.helm("package", helm.CHART, "--destination", scratch)
            self.assertEqual(0, status, text + said)
            (package,) = Path(scratch).iterdir()
            with tarfile.open(package) as archive:
                packed = {Path(name).name: archive.extractfile(name).read()
                          for name in archive.getnames() if name.startswith("dunlin/crds/")}
        self.assertEqual({path.name: path.read_bytes() for path in (OPERATOR / "crds").glob(
            "*.yaml")}, packed)

    def test_the_operator_may_do_what_its_readme_says_and_no_more(self):
        with open(helm.CHART / "files/operator-rules.yaml") as file:
            rules = yaml.safe_load(file)
        nodes = named(self.rendered(), "ClusterRole")["mq-shop-dunlin-operator-nodes"]["rules"]
        given = by_resource(rules + nodes)
        self.assertFalse([key for key, verbs in given.items() if "*" in verbs or "*" in key])
        rows = re.findall(r"^\| `([^`]*)` \| (`[^|]*`) \| ([a-z, ]*) \|$",
                          (OPERATOR / "README.md").read_text(), re.M)
        asked = {(group.strip('"'), resource.strip(" `")): set(verbs.split(", "))
                 for group, resources, verbs in rows for resource in resources.split(",")}
        self.assertEqual(asked, given)
        # With these the tests of the program run.
        tried = {one["metadata"]["name"]: one["rules"] for one in yaml.safe_load_all(
            (OPERATOR / "program/rbac.yaml").read_text())}
        self.assertEqual(given, by_resource(tried["dunlin-operator"] +
                                            tried["dunlin-operator-nodes"]))

    def test_pods_are_restricted(self):
        for file in VALUES:
            specs = dict(pod_specs(self.rendered(files=[file])))
            self.assertTrue(specs)
            for name, spec in specs.items():
                self.assertTrue(spec["securityContext"]["runAsNonRoot"], name)
                self.assertEqual({"type": "RuntimeDefault"},
                                 spec["securityContext"]["seccompProfile"])
                for container in spec["containers"] + spec.get("initContainers", []):
                    context = container["securityContext"]
                    self.assertTrue(context["readOnlyRootFilesystem"], name)
                    self.assertFalse(context["allowPrivilegeEscalation"], name)
                    self.assertEqual(["ALL"], context["capabilities"]["drop"], name)
                    self.assertTrue(container["resources"]["requests"], name)
                    self.assertNotIn(":latest", container["image"])

    def test_selectors_say_nothing_that_changes(self):
        one, other = (self.rendered({"image": {"tag": tag}, "commonLabels": {"a": tag}})
                      for tag in ("1", "2"))
        for kind in ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"):
            for name, found in named(one, kind).items():
                selector = found["spec"].get("selector") or found["spec"]["podSelector"]
                again = named(other, kind)[name]["spec"]
                self.assertEqual(selector, again.get("selector") or again["podSelector"])
                labels = selector.get("matchLabels", selector)
                self.assertNotIn("helm.sh/chart", labels)
                self.assertNotIn("app.kubernetes.io/version", labels)

    def test_groups_have_the_defaults_and_what_is_their_own(self):
        objects = self.rendered({"cluster": {"brokerGroups": [
            {"name": "a"}, {"name": "b", "replicas": 5, "replication": {"flush": "Sync"}}]}})
        groups = named(objects, "BrokerGroup")
        a, b = groups["shop-dunlin-a"]["spec"], groups["shop-dunlin-b"]["spec"]
        self.assertEqual((3, "Async"), (a["replicas"], a["replication"]["flush"]))
        self.assertEqual((5, "Sync"), (b["replicas"], b["replication"]["flush"]))
        self.assertEqual("Sync", b["replication"]["mode"])
        self.assertEqual(["a", "b"], [a["brokerName"], b["brokerName"]])
        self.assertEqual(a["nameServiceRef"]["name"], *named(objects, "NameService"))

    def test_access_control_is_on_and_the_same_for_all_groups(self):
        groups = {"cluster": {"brokerGroups": [{"name": "a"}, {"name": "b"}]}}

        def access(values):
            objects = self.rendered({**groups, **values})
            (pod,) = [one for one in objects if one["kind"] == "Pod"]
            environments = [one.get("env", []) for one in
                            pod["spec"]["initContainers"] + pod["spec"]["containers"]]
            self.assertEqual([environments[0]] * 4, environments)
            return (named(objects, "Secret"), [environments[0], *(
                one["spec"].get("access") for one in named(objects, "BrokerGroup").values())])

        def variables(secret):
            return [{"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
                    for name, key in (("DUNLIN_ACCESS_KEY", "accessKey"),
                                      ("DUNLIN_SECRET_KEY", "secretKey"))]

        def asks(secret):
            return {"enabled": True, "superUserSecretName": secret}

        secrets, seen = access({})
        name = "shop-dunlin-super-user"
        self.assertEqual([variables(name), asks(name), asks(name)], seen)
        self.assertEqual([name], list(secrets))
        self.assertEqual("admin", text_of(secrets[name], "accessKey"))
        self.assertRegex(text_of(secrets[name], "secretKey"), "^[A-Za-z0-9]{32}$")
        secrets, seen = access({"accessControl": {"existingSecret": "root"}})
        self.assertEqual(({}, [variables("root"), asks("root"), asks("root")]), (secrets, seen))
        self.assertEqual(({}, [[], None, None]), access({"accessControl": {"enabled": False}}))

    def test_roles_are_of_the_namespaces_that_are_watched(self):
        def roles(values):
            objects = self.rendered({"operator": values})
            return ({(one["kind"], one["metadata"].get("namespace")) for one in objects
                     if one["kind"] in ("Role", "ClusterRole")},
                    named(objects, "Deployment")["shop-dunlin-operator"]["spec"]["template"]["spec"]
                    ["containers"][0]["args"])
        found, arguments = roles({})
        self.assertEqual({("Role", "mq"), ("ClusterRole", None)}, found)
        self.assertIn("--set=kubernetes.namespaces=mq", arguments)
        self.assertNotIn("watch_nodes", " ".join(arguments))
        found, arguments = roles({"watchNodes": False})
        self.assertEqual({("Role", "mq")}, found)
        self.assertIn("--set=kubernetes.watch_nodes=false", arguments)
        found, arguments = roles({"watchNamespaces": ["mq", "shop"]})
        self.assertEqual({("Role", "mq"), ("Role", "shop"), ("ClusterRole", None)}, found)
        self.assertIn("--set=kubernetes.namespaces=mq,shop", arguments)
        found, arguments = roles({"watchAllNamespaces": True})
        self.assertEqual({("ClusterRole", None), ("Role", "mq")}, found)
        self.assertNotIn("namespaces", " ".join(arguments))

    def test_members_reach_the_name_services_and_etcds_that_are_named(self):
        def ports(values):
            policy = named(self.rendered(values), "NetworkPolicy")["shop-dunlin-brokers"]
            return [port["port"] for port in policy["spec"]["egress"][-1]["ports"]]
        self.assertEqual([9876, 2379], ports({}))
        policy = named(self.rendered(), "NetworkPolicy")["shop-dunlin-brokers"]
        # What is passed on goes to a master, wherever it is.
        self.assertIn({"ports": [{"port": 8081, "protocol": "TCP"}]}, policy["spec"]["egress"])
        self.assertEqual([9876, 2379, 4711, 19876, 12379], ports({
            "networkPolicy": {"egressPorts": [4711, 9876]},
            "cluster": {"brokerGroups": [
                {"name": "a", "nameServers": ["mq.example.com:19876", "mq.example.com:9876"]},
                {"name": "b", "failover": {"coordinator": {
                    "type": "Etcd", "etcd": {"endpoints": ["etcd:12379"]}}}}]}}))

    def test_members_find_the_etcd_of_the_release(self):
        objects = self.rendered({
            "etcd": {"enabled": True},
            "cluster": {"brokerGroups": [
                {"name": "a", "failover": {"coordinator": {"type": "Etcd"}}},
                {"name": "b"},
                {"name": "c", "failover": {"coordinator": {
                    "type": "Etcd", "etcd": {"endpoints": ["other:2379"]}}}}]}})
        coordinators = {name: group["spec"]["failover"]["coordinator"]
                        for name, group in named(objects, "BrokerGroup").items()}
        hosts = ["shop-dunlin-etcd-%d.shop-dunlin-etcd.mq.svc" % number for number in range(3)]
        self.assertEqual({
            "shop-dunlin-a": {"type": "Etcd", "etcd": {
                "endpoints": [host + ":2379" for host in hosts],
                "tlsSecretName": "shop-dunlin-etcd-client"}},
            "shop-dunlin-b": {"type": "Kubernetes"},
            "shop-dunlin-c": {"type": "Etcd", "etcd": {"endpoints": ["other:2379"]}},
        }, coordinators)
        secrets = named(objects, "Secret")
        own, members = secrets["shop-dunlin-etcd"], secrets["shop-dunlin-etcd-client"]
        with tempfile.TemporaryDirectory() as scratch:
            def openssl(*words):
                return subprocess.run(["openssl", *words], cwd=scratch, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for name, secret in (("own", own), ("members", members)):
                Path(scratch, name + ".crt").write_text(text_of(secret, "tls.crt"))
                Path(scratch, name + "-ca.crt").write_text(text_of(secret, "ca.crt"))
            # Each trusts what the other shows.
            for ca, certificate, purpose in (("members", "own", "sslserver"),
                                             ("own", "own", "sslclient"),
                                             ("own", "members", "sslclient")):
                done = openssl("verify", "-CAfile", ca + "-ca.crt", "-purpose", purpose,
                               certificate + ".crt")
                self.assertEqual(0, done.returncode, done.stdout)
            for host in [*hosts, "localhost"]:
                self.assertIn("does match", openssl("x509", "-noout", "-in", "own.crt",
                                                    "-checkhost", host).stdout)

    def test_certificates_of_etcd_may_be_ones_own(self):
        objects = self.rendered({
            "etcd": {"enabled": True, "tls": {"secretName": "one", "clientSecretName": "other"}},
            "cluster": {"brokerGroupDefaults": {"failover": {"coordinator": {"type": "Etcd"}}}}})
        self.assertNotIn("shop-dunlin-etcd", named(objects, "Secret"))
        (group,) = named(objects, "BrokerGroup").values()
        self.assertEqual("other",
                         group["spec"]["failover"]["coordinator"]["etcd"]["tlsSecretName"])
        volumes = named(objects, "StatefulSet")["shop-dunlin-etcd"]["spec"]["template"]["spec"][
            "volumes"]
        self.assertEqual(["one"], [volume["secret"]["secretName"] for volume in volumes])

    def test_pods_are_scraped_in_all_namespaces_that_are_watched(self):
        def selector(values):
            monitors = named(self.rendered({"operator": values, "monitoring": {
                "podMonitor": {"enabled": True}}}), "PodMonitor")
            found = {yaml.safe_dump(one["spec"].get("namespaceSelector")) for one in
                     monitors.values()}
            self.assertEqual((2, 1), (len(monitors), len(found)))
            return yaml.safe_load(found.pop())
        self.assertIsNone(selector({}))
        self.assertEqual({"matchNames": ["mq", "shop"]},
                         selector({"watchNamespaces": ["mq", "shop"]}))
        self.assertEqual({"any": True}, selector({"watchAllNamespaces": True}))

    def test_alerts_have_their_thresholds(self):
        self.assertNotIn("$(", yaml.safe_dump(helm.alerts()))
        text = yaml.safe_dump(helm.alerts({"thresholds": {"consumerLagSeconds": 4711},
                                           "disabled": ["DunlinNoMaster"],
                                           "runbookBaseUrl": "https://example.com/"}))
        self.assertIn("> 4711", text)
        self.assertNotIn("DunlinNoMaster", text)
        self.assertIn("runbook_url: https://example.com/DunlinConsumerLag.md", text)

    def test_monitoring_without_its_operator_is_refused(self):
        status, _, said = helm.helm("template", "shop", helm.CHART, "--set",
                                    "monitoring.podMonitor.enabled=true")
        self.assertNotEqual(0, status)
        self.assertIn("install the Prometheus operator first", said)


class ApiServerTest(unittest.TestCase):
    """Everything that is rendered, as a server-side dry run in a namespace of restricted pods."""

    @classmethod
    def setUpClass(cls):
        programs = subprocess.run([OPERATOR / "tools/kube/build.sh"], check=True,
                                  stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        cls.control_plane = ControlPlane(programs)
        cls.addClassCleanup(cls.control_plane.stop)
        cls.control_plane.start()
        kubectl = cls.control_plane.kubectl
        for name in ("mq", "shop"):
            kubectl("create", "namespace", name)
            kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted",
                    "pod-security.kubernetes.io/warn=restricted")
        for path in [*helm.CHART.glob("crds/*.yaml"), HERE / "monitoring-crds.yaml"]:
            kubectl("apply", "--server-side", "-f", path)
        kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")

    def dry_run(self, objects):
        return self.control_plane.kubectl(
            "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-",
            text=yaml.safe_dump_all(objects), check=False)

    def test_every_object_is_taken(self):
        for file in VALUES:
            objects, said = helm.template(files=[file])
            self.assertIsNotNone(objects, said)
            done = self.dry_run(objects)
            self.assertEqual(0, done.returncode, "%s: %s" % (file.name, done.stderr))
            self.assertNotIn("Warning", done.stderr, file.name)
            self.assertEqual(len(objects), len(done.stdout.splitlines()), done.stdout)

    def test_a_pod_that_is_not_restricted_would_be_noticed(self):
        objects, _ = helm.template()
        (pod,) = [copy.deepcopy(one) for one in objects if one["kind"] == "Pod"]
        del pod["spec"]["containers"][0]["securityContext"]["capabilities"]
        self.assertIn("violates PodSecurity", self.dry_run([pod]).stderr)

    def test_notes_name_commands(self):
        status, text, said = helm.helm("install", "shop", helm.CHART, "--kubeconfig",
                                       self.control_plane.kubeconfig, "--namespace", "mq",
                                       "--dry-run=client")
        self.assertEqual(0, status, said)
        notes = text[text.index("NOTES:"):]
        for words in ("produce hello", "consume hello", "helm test shop --namespace mq",
                      "exec shop-dunlin-broker-a-0 -c dunlin -- dunlinctl",
                      "shop-dunlin-names.mq.svc:9876",
                      "--access-key admin --secret-key-file /etc/dunlin-access/secretKey topic",
                      "get secret shop-dunlin-super-user -o go-template='{{range $key, $value := ",
                      "wait --for=condition=Ready --timeout=5m brokergroup/shop-dunlin-broker-a"):
            self.assertIn(words, notes)

    def test_installs_upgrades_and_goes(self):
        environment = ["--kubeconfig", self.control_plane.kubeconfig, "--namespace", "mq"]
        status, text, said = helm.helm("install", "shop", helm.CHART, *environment)
        self.assertEqual(0, status, text + said)

        def super_user():
            secret = json.loads(self.control_plane.kubectl(
                "-n", "mq", "get", "secret", "shop-dunlin-super-user", "-o", "json").stdout)
            return text_of(secret, "accessKey"), text_of(secret, "secretKey")
        made = super_user()
        self.assertEqual(("admin", 32), (made[0], len(made[1])))
        status, text, said = helm.helm("upgrade", "shop", helm.CHART, *environment, "--set",
                                       "cluster.brokerGroupDefaults.replicas=5")
        self.assertEqual(0, status, text + said)
        shown = self.control_plane.kubectl("-n", "mq", "get", "bg", "-o",
                                           "jsonpath={.items[*].spec.replicas}").stdout
        self.assertEqual("5", shown)
        self.assertEqual(made, super_user(), "whoever has it goes on by it")
        command = re.search("kubectl (-n mq get secret .*)", text)[1]
        shown = self.control_plane.kubectl(*shlex.split(command)).stdout
        self.assertEqual("accessKey: admin\nsecretKey: %s\n" % made[1], shown)
        status, text, said = helm.helm("uninstall", "shop", *environment)
        self.assertEqual(0, status, text + said)
        left = self.control_plane.kubectl("-n", "mq", "get", "mq,deployments,services,roles",
                                          "-o", "name").stdout
        self.assertEqual("", left)
        self.assertIn("brokergroups.dunlin.dev", self.control_plane.kubectl(
            "get", "crd", "-o", "name").stdout, "CRDs, and so what they keep, stay")

    def test_an_upgrade_leaves_etcd_as_it_is(self):
        environment = ["--kubeconfig", self.control_plane.kubeconfig, "--namespace", "shop"]

        def secrets():
            return {one["metadata"]["name"]: one["data"] for one in json.loads(
                self.control_plane.kubectl("-n", "shop", "get", "secrets", "-l",
                                           "app.kubernetes.io/component=etcd", "-o",
                                           "json").stdout)["items"]}
        status, text, said = helm.helm("install", "dunlin", helm.CHART, *environment, "--set",
                                       "etcd.enabled=true,cluster.enabled=false")
        self.assertEqual(0, status, text + said)
        made = secrets()
        self.assertEqual({"dunlin-etcd", "dunlin-etcd-client"}, set(made))
        status, text, said = helm.helm("upgrade", "dunlin", helm.CHART, *environment,
                                       "--reuse-values", "--set", "etcd.image.tag=other")
        self.assertEqual(0, status, text + said)
        self.assertEqual(made, secrets(), "those who run know the others by them")
        status, text, said = helm.helm("upgrade", "dunlin", helm.CHART, *environment,
                                       "--reuse-values", "--set", "etcd.replicas=5")
        self.assertNotEqual(0, status)
        self.assertIn("etcd.replicas cannot be changed: dunlin-etcd has 3", said)
        status, text, said = helm.helm("uninstall", "dunlin", *environment)
        self.assertEqual(0, status, text + said)


if __name__ == "__main__":
    os.chdir(helm.ROOT)
    unittest.main(verbosity=2)
