"""What a run did to the machine: processor time, memory, disk, and time taken by others."""

import os
import subprocess
import time
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
DIRTY_MAX_BYTES = 10 << 20


def cpu_seconds(pids):
    """User and system time of all threads, also of ended ones."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_SECOND


def memory_mib(pids):
    """Resident memory, and the part of it that is not a mapped file."""
    sums = {"VmRSS": 0, "RssAnon": 0}
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in sums:
                sums[name] += int(value.split()[0])
    return sums["VmRSS"] / 1024, sums["RssAnon"] / 1024


def disk_bytes(directory, without=None):
    """What was written, without that folder: neither holes nor space allocated ahead count."""
    total = 0
    for parent, folders, files in os.walk(directory):
        folders[:] = [name for name in folders if Path(parent, name) != without]
        for name in files:
            try:
                total += data_bytes(os.path.join(parent, name))
            except FileNotFoundError:
                pass  # it went while we looked
    return total


def data_bytes(path):
    file = os.open(path, os.O_RDONLY)
    try:
        total = hole = 0
        while True:
            try:
                data = os.lseek(file, hole, os.SEEK_DATA)
            except OSError:  # no more of it
                return total
            hole = os.lseek(file, data, os.SEEK_HOLE)
            total += hole - data
    finally:
        os.close(file)


def processor_seconds():
    """Of the whole machine: busy with programs, stolen by other machines, and all there was."""
    with open("/proc/stat") as stat:
        fields = [int(field) / TICKS_PER_SECOND for field in stat.readline().split()[1:9]]
    return fields[0] + fields[1] + fields[2], fields[7], sum(fields)


def dirty_bytes():
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("Dirty:"):
            return int(line.split()[1]) * 1024
    return 0


def come_to_rest():
    """Nothing of the run before is left to be written, or (as root) in the page cache."""
    subprocess.run(["sync"], check=True)
    if os.geteuid() == 0:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    for _ in range(60):
        if dirty_bytes() < DIRTY_MAX_BYTES:
            return
        time.sleep(1)


class Window:
    """A stretch of time: what it took of the broker, of the machine, and on disk."""

    def __init__(self, system):
        self.system, self.pids = system, system.pids()
        self.start = self.sample()

    def sample(self):
        return (time.monotonic(), cpu_seconds(self.pids), self.system.disk_bytes(),
                *processor_seconds())

    def end(self, client_cpu_seconds):
        seconds, broker, disk, busy, stolen, total = (
            after - before for before, after in zip(self.start, self.sample()))
        rss, anonymous = memory_mib(self.pids)
        return {
            "wall_seconds": seconds,
            "broker_cpu_seconds": broker,
            "client_cpu_cores": client_cpu_seconds / seconds,
            # Other programs, and the kernel's own threads.
            "foreign_cpu_cores": max(0.0, busy - broker - client_cpu_seconds) / seconds,
            "steal": stolen / total,
            "disk_growth_bytes": disk,
            "rss_mib": rss,
            "anonymous_mib": anonymous,
        }
