#!/usr/bin/env python3
"""The tests of the chart: `./dev test chart`, or `charts/tests/run.py [PATTERN]` for some of the
files. The last line is `N passed, N failed, N skipped`."""

import os
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main():
    os.chdir(HERE.parents[1])
    pattern = sys.argv[1] if len(sys.argv) > 1 else "*_test.py"
    suite = unittest.defaultTestLoader.discover(str(HERE), pattern=pattern)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    failed = len({test.id() for test, _ in result.failures + result.errors})
    print("%d passed, %d failed, %d skipped" % (result.testsRun - failed, failed,
                                               len(result.skipped)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
