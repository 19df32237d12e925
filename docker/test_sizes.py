#!/usr/bin/env python3
"""Runs the largest job of docs/DEPLOY-AWS.md in containers that have just the memory and the tmpfs of two sizes of its table.

In the size that the document names the job completes; one size below it ends with the code that the document names, and
the worker goes on. The worker has the settings that the template gives to it. API, stores and worker are one container
here, with the embedded stores on a disk, so that the limits are those of nothing more than a worker's and a server's.
Run by docker/test_containers.sh, with the Python that has PyYAML.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests/aws"))
import template as reader  # noqa: E402

TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")
CADMILL = TARGET / "debug/cadmill"
GENERATOR = TARGET / "debug/examples/big-shapefile"
# The archive of the shapefile, in MiB: close below the 2 GiB that the format's own file may have. The rest of the archive
# is a photo, which is part of its content and not of the result.
SHAPES = 1030
IMAGE = "localhost/cadmill"
NAME = "cadmill-test-sizes"
DOCUMENT = REPOSITORY / "docs/DEPLOY-AWS.md"
SMALL = REPOSITORY / "tests/fixtures/real/gis/naturalearth_lowres.zip"
# How long a start may take, in seconds.
PATIENCE = 60


def podman(*arguments, check=True):
    done = subprocess.run(["podman", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode:
        raise AssertionError(f"podman {arguments} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def documented():
    """The sentence of the document: MiB of the archive, of its content and of the result, the size that fits, the size
    below, and the code there."""
    text = " ".join(DOCUMENT.read_text().split())
    found = re.search(
        r"a zip of (\d+) MiB, with a content of (\d+) MiB, became a DXF of (\d+) MiB in `(\w+)`, and ends in `(\w+)` with `([\w.]+)`", text
    )
    assert found, "the document does not name the largest job"
    return *map(int, found.groups()[:3]), *found.groups()[3:]


def settings(row):
    """Of the worker, from the template; the rest of its variables name resources of AWS."""
    task = reader.read()["Resources"]["WorkerTask"]["Properties"]["ContainerDefinitions"][0]
    chosen = {}
    for variable in task["Environment"]:
        of_size = variable["Value"].get("Fn::FindInMap") if isinstance(variable["Value"], dict) else None
        if of_size:
            assert of_size[0] == "WorkerSizes", variable
            chosen[variable["Name"]] = row[of_size[2]]
    assert {"CADMILL_WORKER_MEMORY", "CADMILL_WORKER_CONCURRENCY", "CADMILL_LIMITS_MEMORY"} == set(chosen), chosen
    return chosen


@contextlib.contextmanager
def served(row, data):
    """A container with this size, and the URL of its API."""
    data.mkdir()
    data.chmod(0o777)
    variables = {
        **settings(row),
        "CADMILL_API_LISTEN": "127.0.0.1:0",
        "CADMILL_EMBEDDED_S3_LISTEN": "127.0.0.1:0",
        "CADMILL_DATA_DIR": "/data",
    }
    podman("rm", "--force", "--ignore", NAME)
    podman(
        "run", "--detach", "--name", NAME, "--network", "host", "--user", "65534:65534", "--read-only", "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges", "--memory", f"{row['Memory']}m", "--memory-swap", f"{row['Memory']}m",
        "--tmpfs", f"/work:rw,mode=1777,size={row['Tmpfs']}m,nosuid,nodev,noexec", "--tmpfs", "/tmp:rw,mode=1777,size=64m,nosuid,nodev,noexec",
        "--volume", f"{data}:/data", *(f"--env={name}={value}" for name, value in variables.items()), IMAGE,
    )
    try:
        end = time.monotonic() + PATIENCE
        while not (found := re.search(r"listening on (http://\S+)", podman("logs", NAME))):
            assert time.monotonic() < end, podman("logs", NAME)
            time.sleep(0.1)
        yield found[1]
    finally:
        podman("rm", "--force", "--time", "30", NAME, check=False)
        shutil.rmtree(data)


def group():
    """The memory that the container has used at most and may use, and the number of processes that had none, from its
    control group, of the first or the second version."""
    pid = podman("container", "inspect", "--format", "{{.State.Pid}}", NAME).strip()
    groups = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    old = [path for _, controllers, path in groups if "memory" in controllers.split(",")]
    if old:
        place, names = Path(f"/sys/fs/cgroup/memory{old[0]}"), ("memory.max_usage_in_bytes", "memory.limit_in_bytes", "memory.oom_control")
    else:
        place, names = Path(f"/sys/fs/cgroup{groups[0][2]}"), ("memory.peak", "memory.max", "memory.events")
    peak, limit, events = ((place / name).read_text() for name in names)
    return int(peak), int(limit), int(dict(line.split() for line in events.splitlines())["oom_kill"])


def submit(url, archive, output):
    """The exit code of `cadmill submit`, and what it prints as JSON."""
    command = [CADMILL, "submit", archive, "--to", "dxf", "-o", output, "--json", "--server", url]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


class Sizes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = Path(cls.enterClassContext(tempfile.TemporaryDirectory(dir=TARGET)))
        cls.place.chmod(0o755)
        size, cls.content, cls.result, cls.fitting, cls.below, cls.code = documented()
        cls.archive = cls.place / "parcels.zip"
        subprocess.run([GENERATOR, cls.archive, "--zip-bytes", f"{SHAPES}M"], stdout=subprocess.DEVNULL, check=True)
        left = (size << 20) - cls.archive.stat().st_size
        with zipfile.ZipFile(cls.archive, "a") as archive:
            with archive.open("photo.jpg", "w") as photo:
                for begin in range(0, left, 1 << 20):
                    photo.write(os.urandom(min(1 << 20, left - begin)))
            content = sum(entry.file_size for entry in archive.infolist())
        assert (cls.archive.stat().st_size >> 20, content >> 20) == (size, cls.content), (cls.archive.stat().st_size >> 20, content >> 20)
        cls.sizes = reader.read()["Mappings"]["WorkerSizes"]

    def goes_on(self, url, row):
        """The worker lives, no process was without memory, and it was never short of it."""
        code, told = submit(url, SMALL, self.place / "small.dxf")
        self.assertEqual(code, 0, told)
        peak, limit, killed = group()
        self.assertEqual((limit, killed), (int(row["Memory"]) << 20, 0))
        self.assertEqual(podman("exec", NAME, "ls", "-A", "/work").strip(), "")
        return peak >> 20

    def test_1_the_size_that_is_named_completes(self):
        row = self.sizes[self.fitting]
        with served(row, self.place / "data") as url:
            begun = time.monotonic()
            code, told = submit(url, self.archive, self.place / "parcels.dxf")
            took = time.monotonic() - begun
            self.assertEqual(code, 0, told)
            size = told["output"]["bytes"]
            self.assertEqual((self.place / "parcels.dxf").stat().st_size, size)
            (self.place / "parcels.dxf").unlink()
            self.assertEqual(size >> 20, self.result)
            peak = self.goes_on(url, row)
        print(f"sizes: {self.fitting}: COMPLETED after {took:.0f} s, {size >> 20} MiB, in {peak} of {row['Memory']} MiB", flush=True)

    def test_2_one_size_below_is_refused_by_name(self):
        names = list(self.sizes)
        self.assertEqual(self.below, names[names.index(self.fitting) - 1])
        row = self.sizes[self.below]
        with served(row, self.place / "data") as url:
            begun = time.monotonic()
            code, told = submit(url, self.archive, self.place / "parcels.dxf")
            took = time.monotonic() - begun
            self.assertEqual((code != 0, told["error"]["code"]), (True, self.code), told)
            self.assertFalse((self.place / "parcels.dxf").exists())
            peak = self.goes_on(url, row)
        print(f"sizes: {self.below}: {self.code} after {took:.0f} s, in {peak} of {row['Memory']} MiB", flush=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
