#!/usr/bin/env python3
"""Runs every tier that must pass and counts over all of them: `./dev test [TIER ...]`.

Each tier says what it does before it starts. The last line is `N passed, N failed, N skipped`; the
exit status is 0 only when nothing failed and every tier ran.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

COUNTS = re.compile(r"^(?:\w+: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")


class Tally:
    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def check(command):
    """A command that passes or fails as a whole."""
    return Tally(1, 0) if subprocess.run(command).returncode == 0 else Tally(0, 1)


def count_cases(xml_path):
    """Cases of one test target from the XML file that Bazel keeps for it."""
    tally = Tally()
    try:
        root = xml.etree.ElementTree.parse(xml_path).getroot()
    except (OSError, xml.etree.ElementTree.ParseError):
        return tally
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            tally.failed += 1
        elif case.get("status") == "notrun" or case.find("skipped") is not None:
            tally.skipped += 1
        else:
            tally.passed += 1
    return tally


def bazel_test(arguments):
    """All test targets of `bazel test ARGUMENTS`, counted by case."""
    with tempfile.NamedTemporaryFile(suffix=".json") as events:
        status = subprocess.run(["bazel", "test", "--keep_going",
                                 "--build_event_json_file=" + events.name] + arguments).returncode
        tally = Tally()
        for line in events:
            event = json.loads(line)
            if "testResult" not in event.get("id", {}):
                continue
            result = event["testResult"]
            cases = Tally()
            for output in result.get("testActionOutput", []):
                if output["name"] == "test.xml":
                    cases = count_cases(output["uri"].replace("file://", ""))
            # A target that crashed, timed out or has no cases of its own counts as one.
            if result["status"] == "PASSED" and cases.passed + cases.failed == 0:
                cases.passed = 1
            if result["status"] != "PASSED" and cases.failed == 0:
                cases.failed = 1
            tally.add(cases)
    if status != 0 and tally.failed == 0:
        tally.failed = 1  # did not build, or ran no test
    return tally


def script(command):
    """A program whose last line is `N passed, N failed, N skipped`."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    found = None
    for line in process.stdout:
        match = COUNTS.match(line.strip())
        if match:
            found = match
        else:
            print(line, end="", flush=True)
    if process.wait() != 0 or found is None:
        tally = Tally(*(int(n or 0) for n in found.groups())) if found else Tally()
        tally.failed = max(tally.failed, 1)
        return tally
    return Tally(*(int(n or 0) for n in found.groups()))


def kube():
    """The first time it builds the control plane, which takes a quarter of an hour."""
    if subprocess.run(["./dev", "kube"], stdout=subprocess.DEVNULL).returncode != 0:
        return Tally(0, 1)
    return bazel_test(["--config=opt", "--build_tests_only", "--test_tag_filters=kube", "//..."])


def images():
    if subprocess.run(["./dev", "image"], stdout=subprocess.DEVNULL).returncode != 0:
        return Tally(0, 1)
    return script(["python3", "charts/images/test.py"])


def chart():
    """The first time it builds Helm and, as `kube` does, a control plane."""
    if subprocess.run(["./dev", "kube"], stdout=subprocess.DEVNULL).returncode != 0:
        return Tally(0, 1)
    return script(["python3", "charts/tests/run.py"])


def nodes():
    """Builds what of Kubernetes is missing, which takes half an hour the first time."""
    if subprocess.run(["./dev", "image"], stdout=subprocess.DEVNULL).returncode != 0:
        return Tally(0, 1)
    return script(["python3", "e2e/kubernetes/faults.py"])


def sdk_python():
    return ".venv/bin/python" if os.path.exists(".venv/bin/python") else "python3"


# name, what it does, how
TIERS = [
    ("lint", "formatting and text rules", lambda: check(["./dev", "lint"])),
    ("unit", "unit tests under AddressSanitizer and UndefinedBehaviorSanitizer",
     lambda: bazel_test(["--config=asan", "--build_tests_only", "--test_tag_filters=-e2e,-kube",
                         "//..."])),
    ("e2e", "end-to-end tests of the optimised programs",
     lambda: bazel_test(["--config=opt", "--build_tests_only", "--test_tag_filters=e2e",
                         "//..."])),
    ("tidy", "clang-tidy", lambda: check(["bazel", "build", "--config=tidy", "--keep_going",
                                                 "//..."])),
    ("kube", "operator and coordinator against a real Kubernetes API server", kube),
    ("build", "the optimised programs", lambda: check(["./dev", "build"])),
    ("images", "programs of the container images, started as Kubernetes would", images),
    ("chart", "the Helm chart, its alerts and dashboards", chart),
    ("nodes", "the chart on nodes with kubelets, under load and faults", nodes),
    ("instructions", "instructions of the hot operations against their bounds",
     lambda: script([sdk_python(), "e2e/instructions/count.py"])),
    ("contracts", "apache.rocketmq.v2 against the descriptors of an official SDK",
     lambda: script([sdk_python(), "e2e/compat/descriptors/compare.py"])),
    ("sdks", "RocketMQ's official SDKs against one dunlin",
     lambda: script([sdk_python(), "e2e/compat/run.py"])),
    ("python", "the Python client of the streams against dunlin",
     lambda: script([sdk_python(), "clients/python/tests/run.py"])),
]


def main():
    wanted = sys.argv[1:]
    unknown = set(wanted) - {name for name, _, _ in TIERS}
    if unknown:
        print("test: no such tier: %s; there are: %s" %
              (", ".join(sorted(unknown)), ", ".join(name for name, _, _ in TIERS)),
              file=sys.stderr)
        return 2
    total = Tally()
    for name, what, run in TIERS:
        if wanted and name not in wanted:
            continue
        print("\n== %s: %s" % (name, what), flush=True)
        start = time.monotonic()
        tally = run()
        total.add(tally)
        print("== %s: %s in %.0f s" %
              (name, "%d ok, %d bad, %d left out" % (tally.passed, tally.failed, tally.skipped),
               time.monotonic() - start), flush=True)
    print("%d passed, %d failed, %d skipped" % (total.passed, total.failed, total.skipped))
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
