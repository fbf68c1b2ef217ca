"""run_program: a peer that is a program with a configuration, on a NATS stream. Its windows go to a
file, where what it counted is read; CPU is that of its process.

run_program.py telegraf|redpanda-connect PORT WARM COUNT
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lines import say

PATIENCE_S = 120.0
HERE = Path(__file__).resolve().parent
COMMANDS = {
    "telegraf": ["telegraf", "--non-strict-env-handling", "--config"],
    "redpanda-connect": ["redpanda-connect", "run"],
}
CONFIGURATIONS = {"telegraf": "telegraf.toml", "redpanda-connect": "redpanda-connect.yaml"}
COUNT = re.compile(rb"value_count[\":=]+(\d+)")
SUM = re.compile(rb"value_sum[\":=]+([\d.]+)")


class Program:
    def __init__(self, name: str, port: str, folder: Path) -> None:
        self.out = folder / "windows"
        self.out.touch()
        text = (HERE / CONFIGURATIONS[name]).read_text()
        given = folder / CONFIGURATIONS[name]
        given.write_text(text.replace("PORT", port).replace("OUT", str(self.out)))
        self._process = subprocess.Popen([*COMMANDS[name], str(given)], stdout=subprocess.DEVNULL)

    def totals(self) -> tuple[int, float]:
        read = self.out.read_bytes()
        return sum(map(int, COUNT.findall(read))), sum(map(float, SUM.findall(read)))

    def cpu_ns(self) -> int:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return round((int(fields[11]) + int(fields[12])) * 1e9 / os.sysconf("SC_CLK_TCK"))

    def wait_for(self, samples: int) -> None:
        until = time.monotonic() + PATIENCE_S
        while self.totals()[0] < samples:
            if time.monotonic() > until or self._process.poll() is not None:
                raise SystemExit(f"{self.totals()[0]} of {samples} samples came out")
            time.sleep(0.05)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def main(name: str, port: str, warm: int, count: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="penstock-peer-", dir="/dev/shm"))
    program = Program(name, port, folder)
    try:
        program.wait_for(warm)
        begin = (program.cpu_ns(), time.monotonic_ns())
        say("warm")
        program.wait_for(warm + count)
        cpu, wall = program.cpu_ns() - begin[0], time.monotonic_ns() - begin[1]
        say("measured", {"count": count, "cpu_ns": cpu, "wall_ns": wall})
        samples, total = program.totals()
        say("final", {"samples": samples, "sum": total})
    finally:
        program.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
