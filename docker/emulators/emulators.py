#!/usr/bin/env python3
"""AWS for docker/compose.yaml: moto on all interfaces, with what docker/aws/cadmill.yaml makes for the pipeline.

The table with its indexes, the queue with its dead letters and the rule of the uploads are made of the template's own
values. The buckets have the settings that the pipeline depends on: events of the one, Object Lock of the other. Names are
those of the template's resources in lower case: `bucket`, `ledgerbucket`, `table`, `queue`, `deadletterqueue`.

`healthcheck` as the argument ends with 0 when everything is there.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

PORT = 5000
# Exists when everything is made.
READY = Path("/tmp/ready")

HERE = Path(__file__).resolve().parent
REPOSITORY = next(place for place in HERE.parents if (place / "docker/aws/cadmill.yaml").is_file())
sys.path.insert(0, str(REPOSITORY / "tests/aws"))


def client(service):
    import boto3

    from emulator import KEYS

    return boto3.client(service, endpoint_url=f"http://127.0.0.1:{PORT}", **KEYS)


def make():
    """Everything that the pipeline needs."""
    from template import Resolver, read

    stack = Resolver(read())
    s3, sqs, events, dynamodb = map(client, ("s3", "sqs", "events", "dynamodb"))

    s3.create_bucket(Bucket="ledgerbucket", ObjectLockEnabledForBucket=True)

    table = stack.properties("Table")
    parts = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    dynamodb.create_table(TableName="table", **{name: table[name] for name in parts})

    def queue(name):
        attributes = {key: value for key, value in stack.properties(name).items() if key in ("VisibilityTimeout", "MessageRetentionPeriod", "RedrivePolicy")}
        attributes = {key: json.dumps(value) if isinstance(value, dict) else str(value) for key, value in attributes.items()}
        return sqs.create_queue(QueueName=name.lower(), Attributes=attributes)["QueueUrl"]

    queue("DeadLetterQueue")
    queue("Queue")

    rule = stack.properties("UploadRule")
    events.put_rule(Name="uploadrule", EventPattern=json.dumps(rule["EventPattern"]))
    events.put_targets(Rule="uploadrule", Targets=[{key: target[key] for key in ("Id", "Arn")} for target in rule["Targets"]])

    s3.create_bucket(Bucket="bucket")
    s3.put_bucket_notification_configuration(Bucket="bucket", NotificationConfiguration={"EventBridgeConfiguration": {}})


def is_ready():
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/moto-api/", timeout=3):
            return READY.exists()
    except OSError:
        return False


def main():
    if sys.argv[1:] == ["healthcheck"]:
        sys.exit(0 if is_ready() else 1)
    program = REPOSITORY / "crates/stores/src/conformance/moto_server.py"
    environment = {**os.environ, "MOTO_ACCOUNT_ID": "123456789012"}
    moto = subprocess.Popen([sys.executable, program, "-H", "0.0.0.0", "-p", str(PORT)], env=environment)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: moto.terminate())
    while moto.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/moto-api/", timeout=3).close()
            break
        except OSError:
            time.sleep(0.1)
    if moto.poll() is None:
        make()
        READY.touch()
        print("emulators are ready", flush=True)
    code = moto.wait()
    # After SIGTERM it has ended well; by itself it has not.
    sys.exit(0 if code == -signal.SIGTERM else 1)


if __name__ == "__main__":
    main()
