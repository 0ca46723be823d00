"""Makes dunlin/streams.binpb before the package is put together; the rest is in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).resolve().parent))
from generate import generate  # noqa: E402  (beside this file)


class BuildWithMessages(build_py):
    def run(self):
        generate()
        super().run()


setup(cmdclass={"build_py": BuildWithMessages})
