"""Alerts, each with what makes it fire and what does not (alerts.yaml), by promtool; and their
runbooks."""

import copy
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import yaml

import helm

HERE = Path(__file__).resolve().parent
RUNBOOKS = helm.ROOT / "docs/runbooks"


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def written_out(values):
    """3x10 as 3+0x10: promtool, too, takes 0x10 for a hexadecimal number."""
    return re.sub(r"(^| )(\d+)x", r"\1\2+0x", str(values))


def case(row, series, fires):
    return {"interval": "30s", "name": row["alert"],
            "input_series": [{"series": name, "values": written_out(values)}
                             for name, values in series.items()],
            "alert_rule_test": [{"alertname": row["alert"], "eval_time": row["at"],
                                 "exp_alerts": [{"exp_labels": row["labels"]}] if fires else []}]}


class AlertsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.spec = helm.alerts()
        cls.rules = {rule["alert"]: rule for group in cls.spec["groups"]
                     for rule in group["rules"]}
        # To YAML 0x10 is a number.
        cls.table = yaml.load((HERE / "alerts.yaml").read_text(), Loader=yaml.BaseLoader)

    def run_cases(self, cases):
        with tempfile.TemporaryDirectory() as scratch:
            rules, tests = Path(scratch) / "rules.yaml", Path(scratch) / "tests.yaml"
            # Whether, not with which words: promtool would have each of them repeated in the table.
            bare = copy.deepcopy(self.spec)
            for group in bare["groups"]:
                for rule in group["rules"]:
                    del rule["annotations"]
            rules.write_text(yaml.safe_dump(bare))
            tests.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": cases,
                                             "evaluation_interval": "30s"}))
            return promtool("test", "rules", tests)

    def test_each_fires_when_it_should_and_not_otherwise(self):
        for row in self.table:
            status, text = self.run_cases([case(row, row["fires"], True),
                                           case(row, row["quiet"], False)])
            self.assertEqual(0, status, text)

    def test_rules_are_well_formed(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as rules:
            yaml.safe_dump(self.spec, rules)
            rules.flush()
            status, text = promtool("check", "rules", "--lint-fatal", rules.name)
        self.assertEqual(0, status, text)

    def test_a_wrong_expectation_is_noticed(self):
        row = self.table[0]
        self.assertNotEqual(0, self.run_cases([case(row, row["quiet"], True)])[0])
        self.assertNotEqual(0, self.run_cases([case(row, row["fires"], False)])[0])

    def test_all_of_them_are_tested_and_have_a_runbook(self):
        self.assertEqual(set(self.rules), {row["alert"] for row in self.table})
        pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
        self.assertEqual(set(self.rules), pages)
        for name, rule in self.rules.items():
            self.assertIn(rule["labels"]["severity"], ("critical", "warning"), name)
            self.assertTrue(rule["annotations"]["summary"], name)
            self.assertTrue(rule["annotations"]["description"].endswith("."), name)

    def test_runbooks_name_commands_that_there_are(self):
        known = set(re.findall(r"^### (dunlinctl .*)$",
                               (helm.ROOT / "docs/reference/cli.md").read_text(), re.M))
        values = (helm.CHART / "values.yaml").read_text()
        for page in RUNBOOKS.glob("Dunlin*.md"):
            text = page.read_text()
            for part in ("**Meaning.**", "**Impact.**", "## Diagnosis", "## Mend"):
                self.assertIn(part, text, page.name)
            commands = re.findall(r"dunlinctl(?: --endpoint \S+)? ([a-z]+ [a-z-]+)", text)
            for command in commands:
                self.assertIn("dunlinctl " + command, known, page.name)
            for other in re.findall(r"\bDunlin[A-Z]\w+", text):
                self.assertIn(other, self.rules, page.name)
            for threshold in re.findall(r"`(\w+(?:Bytes|Percent|Seconds|PerHour))`", text):
                if threshold not in ("masterLeaseSeconds",):
                    self.assertIn(threshold + ":", values, page.name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
