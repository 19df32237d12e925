"""What the sources and the documents say, as far as the template must agree with it.

Each function fails if it finds nothing: the sources were changed, and this must be too.
"""

import re

import yaml

from template import REPOSITORY

DYNAMODB = "crates/stores/src/adapters/aws/dynamodb"


def text(path):
    return (REPOSITORY / path).read_text()


def found(pattern, path, count=None):
    matches = re.findall(pattern, text(path))
    assert matches and count in (None, len(matches)), f"{path}: {pattern} is there {len(matches)} times"
    return matches


def table():
    """The table that `DynamoStore::create_table` makes: its key, its attributes, its indexes."""
    names = dict(found(r'const (\w+): &str = "(\w+)";', f"{DYNAMODB}/item.rs"))
    path = f"{DYNAMODB}/table.rs"
    found(r"billing_mode\(BillingMode::PayPerRequest\)", path, 1)
    found(r"projection_type\(ProjectionType::KeysOnly\)", path, 1)
    key, = found(r"Some\(\(key\(item::(\w+), KeyType::Hash\)", path, 1)
    attributes = found(r"attribute\(item::(\w+), ScalarAttributeType::(\w)\)", path)
    indexes = found(r"index\(item::(\w+), item::(\w+), item::(\w+)\)", path)
    return {
        "key": [(names[key], "HASH")],
        "attributes": {names[name]: kind for name, kind in attributes},
        "indexes": {
            names[index]: ([(names[partition], "HASH"), (names[sort], "RANGE")], "KEYS_ONLY") for index, partition, sort in indexes
        },
    }


def most_deliveries():
    return int(found(r"MAX_DELIVERIES: u32 = (\d+);", "crates/stores/src/bootstrap/stores.rs", 1)[0])


def dead_letter_seconds():
    return int(found(r'DEAD_SECONDS: &str = "(\d+)";', "crates/stores/src/adapters/aws/sqs/create.rs", 1)[0])


def alerts():
    """The names of the alerts of docs/alerts.yaml."""
    rules = [rule for group in yaml.safe_load(text("docs/alerts.yaml"))["groups"] for rule in group["rules"]]
    assert len(rules) > 10
    return {rule["alert"] for rule in rules}


def programs():
    """The programs as a dimension names them, by their names in the list of metrics."""
    return {name.upper(): program for name, program in found(r'Self::(\w+) => "(cadmill-\w+)"', "crates/stores/src/config/program.rs", 3)}


def metrics():
    """The metrics that are printed for CloudWatch: of which programs, and each dimension's values."""
    labels = text("src/metrics/label.rs")
    listed = found(r'= "(cadmill_\w+)", \w+, \[([\w, ]*)\], (\w+), Some\(&\[([^\]]*)\]\)', "src/metrics/list.rs")
    lists = dict(found(r"const (\w+): &\[Source\] = &\[([^\]]*)\];", "src/metrics/list.rs"))
    result = {}
    for name, ids, source, kept in listed:
        sources = re.findall(r"Source::(\w+)", lists[source])
        dimensions = {"program": {programs()[one.upper()] for one in sources}}
        for label in filter(None, ids.split(", ")):
            about = re.search(rf'const {label}: Label =\s*Label::these\(\s*"(\w+)",\s*&\[(.*?)\]', labels, re.DOTALL)
            if about and f'"{about[1]}"' in kept:
                values = set(re.findall(r'"([\w.-]+)"', about[2]))
                dimensions[about[1]] = values | ({"other"} if "OTHER" in about[2] else set())
        assert set(dimensions) - {"program"} == set(re.findall(r'"(\w+)"', kept)), name
        result[name] = dimensions
    return result
