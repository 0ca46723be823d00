#!/usr/bin/env python3
"""Writes dunlin/streams.binpb: what proto/dunlin/broker/v1/streams.proto and its imports say."""

import os
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(__file__).resolve().parent / "dunlin/streams.binpb"


def generate():
    made = OUT.with_name(f".{OUT.name}.{os.getpid()}")
    status = protoc.main(["protoc", f"-I{ROOT}", f"-I{files('grpc_tools') / '_proto'}",
                          "--include_imports", f"--descriptor_set_out={made}",
                          "proto/dunlin/broker/v1/streams.proto"])
    if status != 0:
        raise RuntimeError(f"protoc ended with status {status}")
    made.replace(OUT)


if __name__ == "__main__":
    generate()
