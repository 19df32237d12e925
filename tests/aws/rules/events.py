"""The table, and the way of an event from the bucket to the queue."""

import source
from template import Resolver, arn

def schema(keys):
    return [(key["AttributeName"], key["KeyType"]) for key in keys]


def records(template):
    table = Resolver(template).properties("Table")
    have = {
        "key": schema(table["KeySchema"]),
        "attributes": {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]},
        "indexes": {
            one["IndexName"]: (schema(one["KeySchema"]), one["Projection"]["ProjectionType"]) for one in table["GlobalSecondaryIndexes"]
        },
    }
    if have != source.table():
        yield f"the table is {have}, the code makes {source.table()}"
    if table["BillingMode"] != "PAY_PER_REQUEST" or "TimeToLiveSpecification" in table:
        yield "the table is billed or emptied in another way than the code expects"
    if "PointInTimeRecoverySpecification" in table:
        yield "deleted records are kept in backups"


def events(template):
    resolver = Resolver(template)
    queue, dead, rule = (resolver.properties(name) for name in ("Queue", "DeadLetterQueue", "UploadRule"))
    redrive = {"deadLetterTargetArn": arn("sqs", "deadletterqueue"), "maxReceiveCount": source.most_deliveries()}
    if queue.get("RedrivePolicy") != redrive:
        yield f"dead letters of the queue: {queue.get('RedrivePolicy')}"
    if dead.get("MessageRetentionPeriod") != source.dead_letter_seconds():
        yield "dead letters are kept for another time"
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": ["bucket"]}, "object": {"key": [{"prefix": "uploads/"}]}},
    }
    if rule["EventPattern"] != pattern or rule.get("State", "ENABLED") != "ENABLED":
        yield f"the rule is for {rule['EventPattern']}"
    target, = rule["Targets"]
    if target["Arn"] != arn("sqs", "queue"):
        yield "the rule does not send to the queue"
    if target.get("DeadLetterConfig") != {"Arn": arn("sqs", "undeliveredqueue")}:
        yield "what the rule cannot deliver is lost"
    allowed = set()
    for _, policy in resolver.resources("AWS::SQS::QueuePolicy"):
        for statement in policy["PolicyDocument"]["Statement"]:
            expected = {
                "Sid": "UploadRule",
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": "*",
                "Condition": {"ArnEquals": {"aws:SourceArn": arn("events", "rule/uploadrule")}},
            }
            if statement == expected:
                allowed |= set(policy["Queues"])
            elif statement["Effect"] == "Allow":
                yield f"a queue allows {statement}"
    for name in ("Queue", "UndeliveredQueue"):
        if resolver.reference(name) not in allowed:
            yield f"the rule may not send to {name}"
