#!/usr/bin/env python3
"""Times `cadmill submit` with and without gzip, on loopback.

See README.md beside this file for what is measured and how to read it.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")


def served(programs, data):
    """Starts the server and returns it with its URL."""
    command = [programs / "cadmill", "serve", "--listen", "127.0.0.1:0", "--data", data]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in server.stderr:
        if line.startswith("listening on "):
            return server, line.split()[-1]
    raise SystemExit("the server does not start")


def fetched(programs, url, archive, kind, gzip, directory):
    """Converts the archive and returns the measurements."""
    output = directory / f"out.{kind}"
    command = [programs / "cadmill", "submit", archive, "--to", kind, "-o", output, "--json", "--server", url]
    begun = time.monotonic()
    run = subprocess.run(command + ([] if gzip else ["--no-gzip"]), stdout=subprocess.PIPE, text=True, check=True,
                         stderr=subprocess.DEVNULL)
    wall = time.monotonic() - begun
    facts = json.loads(run.stdout)
    output.unlink()
    return {
        "wall_s": round(wall, 2),
        "publish_s": facts["stage_millis"]["publish"] / 1000,
        "bytes": facts["output"]["bytes"],
        "downloaded_bytes": facts["downloaded_bytes"],
        "sha256": facts["output"]["sha256"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, help="a zipped shapefile, such as big-shapefile makes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--formats", default="dxf,geojson")
    parser.add_argument("--programs", type=Path, default=TARGET / "release")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        directory = Path(directory)
        server, url = served(arguments.programs, directory / "data")
        try:
            for kind in arguments.formats.split(","):
                runs = {False: [], True: []}
                # In pairs, so that other load falls on both alike.
                for _ in range(arguments.rounds):
                    for gzip in (False, True):
                        run = fetched(arguments.programs, url, arguments.archive, kind, gzip, directory)
                        runs[gzip].append(run)
                digests = {run["sha256"] for both in runs.values() for run in both}
                if len(digests) != 1:
                    raise SystemExit("the results differ")
                for gzip, all_runs in runs.items():
                    print(json.dumps({
                        "format": kind,
                        "gzip": gzip,
                        "bytes": all_runs[0]["bytes"],
                        "downloaded_bytes": all_runs[0]["downloaded_bytes"],
                        "wall_s": [run["wall_s"] for run in all_runs],
                        "median_wall_s": statistics.median(run["wall_s"] for run in all_runs),
                        "publish_s": [run["publish_s"] for run in all_runs],
                        "median_publish_s": statistics.median(run["publish_s"] for run in all_runs),
                    }), flush=True)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
