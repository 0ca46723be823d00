#!/usr/bin/env python3
"""Tests of the Python client, against bin/dunlin (./dev build) or the program that the environment
variable DUNLIN names. Needs grpcio and grpcio-tools, which ./dev setup puts into .venv.

    clients/python/tests/run.py [unittest arguments]

The last line is `N passed, N failed, N skipped`; the exit status is 0 only when nothing failed.
"""

import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]


def main():
    from generate import generate
    generate()
    program = unittest.main(module=None, exit=False, verbosity=2, argv=[sys.argv[0], *(
        sys.argv[1:] or ["records_test", "access_test", "streams_test"])])
    result = program.result
    bad = len(result.failures) + len(result.errors)
    passed = result.testsRun - bad - len(result.skipped)
    sys.stderr.flush()
    print(f"{max(passed, 0)} passed, {bad} failed, {len(result.skipped)} skipped")
    return 1 if bad or not result.testsRun else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ImportError as error:
        print(f"{error}: run ./dev setup\n0 passed, 1 failed, 0 skipped")
        sys.exit(1)
