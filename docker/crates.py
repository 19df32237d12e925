#!/usr/bin/env python3
"""Lists the crates that are in the programs of each image, as components of CycloneDX.

    docker/crates.py TARGET DIRECTORY

writes api.json, cleanup.json and worker.json: objects with commas between. The versions are those of Cargo.lock, with
the digests that it pins, and only crates that are linked for the target with the features in use are listed.
"""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import quote

# The image and the packages that its programs come from.
IMAGES = {"api": ["cadmill-api"], "cleanup": ["cadmill-api"], "worker": ["cadmill-cli", "cadmill-converter"]}
REPOSITORY = Path(__file__).resolve().parents[1]


def crates(packages, target):
    """Name, version and licence of each."""
    command = [os.environ.get("CARGO", "cargo"), "tree", "--locked", "--edges", "normal", "--prefix", "none"]
    command += ["--format", "{p}\t{l}", "--target", target, *(word for name in packages for word in ("--package", name))]
    text = subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in filter(None, text.splitlines()):
        package, licence = line.removesuffix(" (*)").split("\t")
        name, version = package.split(" ")[:2]
        yield name, version.removeprefix("v"), licence.removesuffix(" (*)")


def component(name, version, licence, checksum):
    one = {"type": "library", "name": name, "version": version, "purl": f"pkg:cargo/{name}@{quote(version)}"}
    if licence:
        # Old packages separate alternatives with a slash.
        one["licenses"] = [{"expression": licence.replace("/", " OR ")}]
    if checksum:
        one["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return one


def main():
    target, out = sys.argv[1], Path(sys.argv[2])
    lock = tomllib.loads((REPOSITORY / "Cargo.lock").read_text())
    checksums = {(one["name"], one["version"]): one.get("checksum") for one in lock["package"]}
    for image, packages in IMAGES.items():
        found = sorted(set(crates(packages, target)))
        components = [component(*one, checksums[one[:2]]) for one in found]
        (out / f"{image}.json").write_text(",\n".join(json.dumps(one) for one in components) + "\n")


if __name__ == "__main__":
    main()
