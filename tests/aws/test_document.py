"""The tables of docs/DEPLOY-AWS.md are computed again: sizes from the template, costs from their parts."""

import re
import unittest

import source
import template as reader

DOCUMENT = "docs/DEPLOY-AWS.md"
HOURS = 730


def table(first):
    """The rows of the table whose head begins with this cell, by their first cell."""
    lines = source.text(DOCUMENT).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = {}
    for line in lines[at + 2 :]:
        if not line.startswith("|"):
            break
        name, *cells = (cell.strip().strip("`") for cell in line.strip("|").split("|"))
        rows[name.replace("`", "")] = cells
    assert len(rows) > 1, f"the table {first} is empty"
    return rows


def mebibytes(text):
    return int(text[:-1]) * {"M": 1, "G": 1024}[text[-1]]


def default(key):
    return mebibytes(source.found(rf"(?m)^\| `{re.escape(key)}` \|.*?\| size \| `(\d+[MG])`", "docs/CONFIGURATION.md")[0])


def fits(row, content, times, least):
    """Whether a worker of this size takes this content, and a result that is so many times as large; in
    MiB. As `Budget::admit` decides in converter/src/worker/admission.rs."""
    total, place, jobs, engine = mebibytes(row["Budget"]), int(row["Tmpfs"]), int(row["Jobs"]), mebibytes(row["Engine"])
    if 2 * content + least > total or content > place or content > default("limits.max_expanded"):
        return False
    engine = min(engine, total - 2 * content)
    result = min(default("limits.max_output"), content + engine / 2, max(content, place / jobs / 2))
    return times * content <= result and content + times * content <= place


def largest(row, times):
    least = int(source.found(r"MIN_MEMORY_BYTES: u64 = (\d+) << 20;", "src/domain/limits.rs")[0])
    low, high = 0, 1 << 20
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(row, middle, times, least) else (low, middle)
    return low


def shown(mebibytes):
    """In GiB, rounded down to two digits."""
    return f"{int(mebibytes * 100 / 1024) / 100:g} GiB"


class Document(unittest.TestCase):
    def test_the_table_of_sizes_is_that_of_the_template(self):
        documented = table("size")
        sizes = reader.read()["Mappings"]["WorkerSizes"]
        self.assertEqual(list(documented), list(sizes))
        for name, row in sizes.items():
            expected = [
                str(int(row["Cpu"]) // 1024), shown(int(row["Memory"])), shown(int(row["Tmpfs"])), row["Jobs"], shown(mebibytes(row["Engine"])),
                shown(largest(row, 1)), shown(largest(row, 2)),
            ]
            self.assertEqual(documented[name], expected, name)

    def test_the_examples_fit(self):
        sizes = reader.read()["Mappings"]["WorkerSizes"]
        benchmarks = source.text("docs/BENCHMARKS.md")
        self.assertIn("| 400 MiB | 783 MiB | 1591 MiB | 9.4 s |", benchmarks)
        self.assertTrue(fits(sizes["medium"], 783, 1591 / 783, 64))
        self.assertFalse(fits(sizes["small"], 783, 1591 / 783, 64))
        # This one is run in containers of these sizes, by docker/test_sizes.py.
        content, result = map(int, source.found(r"with a content of (\d+) MiB, became a DXF of (\d+) MiB", DOCUMENT, 1)[0])
        self.assertTrue(fits(sizes["large"], content, result / content, 64))
        self.assertFalse(fits(sizes["medium"], content, result / content, 64))

    def test_the_sums_of_a_job_are_those_of_its_parts(self):
        prices = {name: float(price) for name, (price, _) in table("what").items()}
        job, sums = table("per job"), table("dollars for 1,000 jobs")
        workers = ((4, 16), (4, 16), (4, 30))
        for column, (cpu, memory) in enumerate(workers):
            number = {name.split(",")[0]: float(cells[column]) for name, cells in job.items()}
            cost = {name: number[name] * prices[name] for name in ("put", "get", "write", "read", "message", "event", "sign")}
            hours = number["seconds of a worker"] * 1000 / 3600
            parts = {
                "S3": cost["put"] + cost["get"],
                "DynamoDB": cost["write"] + cost["read"],
                "SQS, EventBridge, KMS": cost["message"] + cost["event"] + cost["sign"],
                "Fargate": hours * (cpu * prices["vcpu"] + memory * prices["memory"]),
            }
            parts["together"] = sum(parts.values())
            parts["the results to the internet"] = number["out"] * 1000 * prices["out"]
            self.assertEqual({name: cells[column] for name, cells in sums.items()}, {name: f"{value:.2f}" for name, value in parts.items()})

    def test_the_requests_of_the_large_job_are_those_of_the_pipeline(self):
        pipeline = source.text("docs/PIPELINE.md")
        count = {name: int(re.search(rf"^\| {name} \| (\d+) \|$", pipeline, re.MULTILINE)[1]) for name in (
            "S3, class of PUT, POST and LIST", "S3, class of GET and HEAD", "DynamoDB, write units",
        )}
        put, get, write = count.values()
        job = table("per job")
        self.assertEqual([job[name][2] for name in ("put", "get", "write")], [str(put + 12), str(get), str(write)])

    def test_the_sums_of_a_month_are_those_of_their_parts(self):
        prices = {name: float(price) for name, (price, _) in table("what").items()}
        rows = table("part | sum")
        for part in ("API", "cleanup", "one idle worker"):
            tasks, cpu, memory, hours = map(float, re.search(r"(\d+) tasks? of ([\d.]+) vCPU and ([\d.]+) GB, (\d+) h", rows[part][0]).groups())
            self.assertEqual(rows[part][1], f"{tasks * hours * (cpu * prices['vcpu'] + memory * prices['memory']):.2f}")
        services, zones, price = map(float, re.search(r"(\d+) services in (\d+) zones, ([\d.]+)", rows["interface endpoints"][0]).groups())
        self.assertEqual(rows["interface endpoints"][1], f"{services * zones * price * HOURS:.2f}")
        self.assertEqual(rows["load balancer"][1], f"{float(rows['load balancer'][0].split()[0]) * HOURS:.2f}")

    def test_every_parameter_named_is_one(self):
        known = set(reader.read()["Parameters"])
        text = source.text(DOCUMENT)
        # Variables of a shell have no small letters.
        overrides = set(re.findall(r"\b([A-Z]\w*[a-z]\w*)=", text))
        words = {word.split("=")[0] for row in table("parameter") for word in re.findall(r"\w+", row)} & {word for word in re.findall(r"[A-Z]\w+", text)}
        self.assertGreater(len(overrides), 8)
        self.assertEqual((overrides | words) - known, set())


if __name__ == "__main__":
    unittest.main()
