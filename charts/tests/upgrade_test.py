"""An upgrade from the chart before, with its CRDs, on a real API server: what it stored is taken as
it is, and nothing that others rely on is made anew."""

import json
import os
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import yaml

import earlier
import helm
from kube import ControlPlane

HERE = Path(__file__).resolve().parent
# Resources with everything set that the operator of that time knew.
SAMPLES = "operator/crds/testdata/valid.yaml"
# Of specs of the version before: those that are none any more. An upgrade drops them.
GONE = {"BrokerGroup": ["monitoring"], "NameService": ["monitoring"]}
TAG = "2.0.0-upgraded"
PATIENCE_SECONDS = 60


def name_of(one):
    return one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]


class EarlierTest(unittest.TestCase):
    """Where the chart before is taken from; when it is not there somebody has to hear of it."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        self.root = self.scratch / "tree"
        (self.root / earlier.FILE).parent.mkdir(parents=True)

    def git(self, *words):
        done = earlier.git(self.root, "-c", "user.name=test", "-c", "user.email=test@localhost",
                           *words, text=True)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout.strip()

    def write(self, version, **others):
        (self.root / earlier.FILE).write_text(yaml.safe_dump({"version": version, **others}))

    def commit(self, version, **others):
        self.write(version, **others)
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "chart")
        return self.git("rev-parse", "HEAD")

    def refused(self, root=None):
        with self.assertRaises(earlier.NoHistory) as caught:
            earlier.commit_before(root or self.root)
        return str(caught.exception)

    def test_it_is_the_last_with_another_version(self):
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("0.1.0")
        self.commit("0.1.0", description="mended")
        (self.root / "other").write_text("")
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "something else")
        last = self.git("rev-parse", "HEAD")
        self.write("0.2.0")
        self.assertEqual(last, earlier.commit_before(self.root), "also before it is committed")
        self.git("checkout", "--quiet", "-b", "side")
        self.commit("0.2.0")
        self.git("checkout", "--quiet", "main")
        self.commit("0.1.0", description="mended once more")
        last = self.git("rev-parse", "HEAD")
        self.git("merge", "--quiet", "--strategy-option=theirs", "--message", "merge", "side")
        self.assertEqual(last, earlier.commit_before(self.root))
        self.commit("0.2.0", description="changed after that")
        self.assertEqual(last, earlier.commit_before(self.root))

        into = self.scratch / "before"
        into.mkdir()
        earlier.extract(self.root, last, ["charts/dunlin"], into)
        self.assertEqual({"version": "0.1.0", "description": "mended once more"},
                         yaml.safe_load((into / earlier.FILE).read_text()))
        with self.assertRaisesRegex(earlier.NoHistory, "does not have all of charts/none"):
            earlier.extract(self.root, last, ["charts/none"], into)

    def test_without_it_the_way_out_is_told(self):
        self.write("0.2.0")
        self.assertIn("run this in a clone", self.refused())
        # In the repository of somebody else.
        subprocess.run(["git", "init", "--quiet", self.scratch], check=True)
        self.assertIn("run this in a clone", self.refused())

        self.git("init", "--quiet")
        self.commit("0.1.0")
        self.assertIn("raise `version` in charts/dunlin/Chart.yaml", self.refused())
        self.commit("0.2.0")
        self.commit("0.2.0", description="changed after that")
        self.assertEqual(self.git("rev-parse", "HEAD~2"), earlier.commit_before(self.root))
        shallow = self.scratch / "shallow"
        self.git("clone", "--quiet", "--depth=1", "file://%s" % self.root, shallow)
        self.assertIn("git fetch --unshallow", self.refused(shallow))


class Release:
    """One of the chart before, with some of its values."""

    def __init__(self, control_plane, values):
        self.control_plane, self.values = control_plane, values
        text = yaml.safe_load(values.read_text()) or {}
        self.watched = text.get("operator", {}).get("watchNamespaces") or [
            "with-" + values.name.removesuffix("-values.yaml")]
        self.space = self.watched[0]

    def helm(self, *words):
        status, text, said = helm.helm(*words, "--kubeconfig", self.control_plane.kubeconfig,
                                       "--namespace", self.space)
        if status != 0:
            raise AssertionError("%s: helm %s: %s" % (self.values.name, words[0], text + said))
        return text

    def install(self, chart):
        for name in self.watched:
            self.control_plane.kubectl("create", "namespace", name)
        self.helm("install", "shop", chart, "--values", self.values)

    def upgrade(self, *words):
        self.helm("upgrade", "shop", helm.CHART, *words)

    def objects(self):
        """Name → what the API server has of all that is of this release."""
        made = [one for one in yaml.safe_load_all(self.helm("get", "manifest", "shop")) if one]
        placed = [one for one in made if "namespace" in one["metadata"]]
        shown = self.get(placed) + self.get([one for one in made if one not in placed],
                                            "--namespace", self.space)
        return {name_of(one): one for one in shown}

    def get(self, objects, *words):
        shown = self.control_plane.kubectl(
            "get", *words, "-o", "json", "-f", "-",
            text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})).stdout
        return json.loads(shown)["items"] if objects else []


class UpgradeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.earlier = cls.chart_before()
        programs = subprocess.run([helm.ROOT / "operator/tools/kube/build.sh"], check=True,
                                  stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        cls.control_plane = ControlPlane(programs)
        cls.addClassCleanup(cls.control_plane.stop)
        cls.control_plane.start()
        kubectl = cls.control_plane.kubectl
        kubectl("apply", "--server-side", "-f", HERE / "monitoring-crds.yaml")
        kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
        chart = cls.earlier / "charts/dunlin"
        cls.releases = [Release(cls.control_plane, values)
                        for values in sorted((chart / "ci").glob("*-values.yaml"))]
        for release in cls.releases:
            release.install(chart)  # the first one with its CRDs
        kubectl("create", "namespace", "stored")
        kubectl("create", "--namespace", "stored", "-f", cls.earlier / SAMPLES)
        kubectl("create", "namespace", "anew")
        # Before there are other CRDs: fields that those do not have would not be shown.
        cls.stored = [one for path in sorted((chart / "crds").glob("*.yaml"))
                      for one in cls.all_of(yaml.safe_load(path.read_text())["metadata"]["name"])]
        for one in cls.stored:
            del one["metadata"]["resourceVersion"]
            for field in GONE.get(one["kind"], ()):
                del one["spec"][field]
        cls.before = [release.objects() for release in cls.releases]
        cls.change_crds(helm.CHART / "crds")
        cls.control_plane.restart_api_server()

    @classmethod
    def change_crds(cls, files):
        """As docs/kubernetes.md says."""
        cls.control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", files)

    @classmethod
    def chart_before(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        earlier.extract(helm.ROOT, earlier.commit_before(helm.ROOT), ["charts/dunlin", SAMPLES],
                        scratch.name)
        return Path(scratch.name)

    @classmethod
    def all_of(cls, resource):
        return json.loads(cls.control_plane.kubectl("get", resource, "--all-namespaces", "-o",
                                                    "json").stdout)["items"]

    def complaints(self, command, objects):
        done = self.control_plane.kubectl(
            command, "--dry-run=server", "--validate=strict", "-f", "-", check=False,
            text="---\n".join(json.dumps(one) + "\n" for one in objects))
        self.assertEqual(done.returncode != 0, done.stderr != "", done.stderr)
        return done.stderr

    def as_new(self):
        """On an update the API server lets pass what is not changed; on a new one nothing."""
        return [{**{key: value for key, value in one.items() if key != "status"},
                 "metadata": {"namespace": "anew", **{
                     key: one["metadata"][key] for key in ("name", "labels", "annotations")
                     if key in one["metadata"]}}}
                for one in self.stored]

    def test_fields_that_are_gone_are_told_of(self):
        text = (helm.ROOT / "docs/kubernetes.md").read_text()
        upgrade = text[text.index("## Upgrade"):text.index("## Draining nodes")]
        for kind, fields in GONE.items():
            for field in fields:
                self.assertRegex(upgrade, r"`%s\b[^`]*` of [^;]*%s" % (field, kind))

    def test_what_is_stored_is_taken(self):
        kinds = {one["kind"] for one in self.stored}
        self.assertEqual({yaml.safe_load(path.read_text())["spec"]["names"]["kind"] for path in
                          (self.earlier / "charts/dunlin/crds").glob("*.yaml")}, kinds)
        self.assertEqual("", self.complaints("replace", self.stored))
        # Of some there are several of a name, in namespaces of their own.
        for one in self.as_new():
            self.assertEqual("", self.complaints("create", [one]), name_of(one))

    def test_what_would_not_be_taken_is_noticed(self):
        path = helm.CHART / "crds/topics.yaml"
        stricter, poorer = (yaml.safe_load(path.read_text()) for _ in range(2))

        def fields(definition):
            return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][
                "spec"]["properties"]
        fields(stricter)["queues"].update(minimum=100, default=100)
        del fields(poorer)["queues"]
        topics = [one for one in self.as_new() if one["kind"] == "Topic"]
        self.addCleanup(self.change_crds, path)
        for definition, words in ((stricter, "greater than or equal to 100"),
                                  (poorer, 'unknown field "spec.queues"')):
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                yaml.safe_dump(definition, file)
                file.flush()
                self.change_crds(file.name)
            self.await_(lambda: words in self.complaints("create", topics[:1]), words)
        stored = [one for one in self.stored if one["kind"] == "Topic"]
        self.assertIn('unknown field "spec.queues"', self.complaints("replace", stored))

    def await_(self, condition, what):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.1)

    def test_what_was_installed_is_upgraded(self):
        self.assertTrue(self.releases)
        for release, before in zip(self.releases, self.before):
            release.upgrade("--reset-then-reuse-values", "--set", "image.tag=" + TAG, "--set",
                            "operator.image.tag=" + TAG)
            after = release.objects()
            self.assertIn(":%s\"" % TAG, json.dumps(list(after.values())), release.values.name)
            for name, one in before.items():
                # What is gone and what is made anew take with them what hangs on them.
                self.assertIn(name, after, release.values.name)
                self.assertEqual(one["metadata"]["uid"], after[name]["metadata"]["uid"], name)
                if one["kind"] == "Secret":
                    self.assertEqual(one["data"], after[name]["data"], "who has it goes on by it")


if __name__ == "__main__":
    os.chdir(helm.ROOT)
    unittest.main(verbosity=2)
