"""Who may do what: the roles, their policies and who takes them."""

import itertools
import json

import source
from template import PSEUDO, Resolver, arn

TASKS = arn("ecs", "task/cluster/*")
PLACEHOLDERS = {
    "BucketArn": "arn:aws:s3:::bucket",
    "TableArn": arn("dynamodb", "table/table"),
    "QueueArn": arn("sqs", "queue"),
    "DeadLetterQueueArn": arn("sqs", "deadletterqueue"),
    "LedgerBucketArn": "arn:aws:s3:::ledgerbucket",
    "LedgerKeyArn": arn("kms", "key/ledgerkey"),
    "TasksArn": TASKS,
}
USE_OBJECT_KEY = {
    "Sid": "UseObjectKey",
    "Effect": "Allow",
    "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
    "Resource": arn("kms", "key/objectkey"),
    "Condition": {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}},
}
ROLE = "arn:aws:iam::123456789012:role/"
# The policies of each role; a name with .json is a document that the tests of permissions decide by.
RIGHTS = {
    "WorkerRole": {"worker": "worker.json", "object-key": [USE_OBJECT_KEY]},
    "ApiRole": {"api": "api.json", "object-key": [USE_OBJECT_KEY]},
    "CleanupRole": {"cleanup": "cleanup.json"},
    "ExecutionRole": {
        "start": [
            {"Sid": "EnterRegistry", "Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
            {
                "Sid": "TakeImages",
                "Effect": "Allow",
                "Action": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                "Resource": "arn:aws:ecr:us-east-1:*:repository/*",
            },
            {
                "Sid": "WriteLogs",
                "Effect": "Allow",
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                "Resource": [arn("logs", f"log-group:{name}logs:*") for name in ("worker", "api", "cleanup")],
            },
        ]
    },
    "PipeRole": {
        "pipe": [
            {
                "Sid": "TakeEvents",
                "Effect": "Allow",
                "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
                "Resource": arn("sqs", "queue"),
            },
            {
                "Sid": "StartWorkers",
                "Effect": "Allow",
                "Action": "ecs:RunTask",
                "Resource": arn("ecs", "task-definition/workertask:1"),
                "Condition": {"ArnEquals": {"ecs:cluster": arn("ecs", "cluster/cluster")}},
            },
            {
                "Sid": "PassRoles",
                "Effect": "Allow",
                "Action": "iam:PassRole",
                "Resource": [ROLE + "workerrole", ROLE + "executionrole"],
                "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
            },
        ]
    },
}
# Statements that a deployment leaves out (docker/aws/policies/README.md): the API has audit.sinks=none.
LEFT_OUT = {"api.json": {"KeepLedgers", "SignLedgers"}}
# Which role a task or a pipe acts as, and who may take it.
ACTORS = {"WorkerTask": "WorkerRole", "ApiTask": "ApiRole", "CleanupTask": "CleanupRole"}
TRUST = {"PipeRole": "pipes.amazonaws.com"}


def grants(statements):
    """Each statement, action and resource, with the condition."""
    result = set()
    for statement in statements:
        unknown = set(statement) - {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert not unknown, f"{unknown} of a statement are not known"
        actions, resources = ([one] if isinstance(one, str) else one for one in (statement["Action"], statement["Resource"]))
        condition = json.dumps(statement.get("Condition"), sort_keys=True)
        for action, resource in itertools.product(actions, resources):
            result.add((statement["Sid"], statement["Effect"], action, resource, condition))
    return result


def golden(policy):
    if not isinstance(policy, str):
        return grants(policy)
    text = source.text(f"docker/aws/policies/{policy}")
    for name, value in PLACEHOLDERS.items():
        text = text.replace(f"${{{name}}}", value)
    statements = json.loads(text)["Statement"]
    assert LEFT_OUT.get(policy, set()) <= {statement["Sid"] for statement in statements}, f"{policy} has no such statements"
    return grants(statement for statement in statements if statement["Sid"] not in LEFT_OUT.get(policy, ()))


def rights(template):
    resolver = Resolver(template, StartMode="task-per-upload")
    roles = dict(resolver.resources("AWS::IAM::Role"))
    if set(roles) != set(RIGHTS):
        yield f"the roles are {sorted(roles)}, expected {sorted(RIGHTS)}"
    for name, role in roles.items():
        if "ManagedPolicyArns" in role:
            yield f"{name} has policies of others"
        policies = {policy["PolicyName"]: policy["PolicyDocument"] for policy in role["Policies"]}
        expected = RIGHTS.get(name, {})
        if set(policies) != set(expected):
            yield f"the policies of {name} are {sorted(policies)}, expected {sorted(expected)}"
        for policy, document in policies.items():
            have, want = grants(document["Statement"]), golden(expected.get(policy, []))
            yield from (f"{name} may too much: {grant}" for grant in sorted(have - want))
            yield from (f"{name} may too little: {grant}" for grant in sorted(want - have))
        trust, = role["AssumeRolePolicyDocument"]["Statement"]
        expected = {
            "Effect": "Allow",
            "Principal": {"Service": TRUST.get(name, "ecs-tasks.amazonaws.com")},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": PSEUDO["AWS::AccountId"]}},
        }
        if trust != expected:
            yield f"{name} may be taken by {trust}"
    for task, role in ACTORS.items():
        if resolver.properties(task)["TaskRoleArn"] != ROLE + role.lower():
            yield f"{task} has another role than {role}"
    kinds = {"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy", "AWS::IAM::User", "AWS::Lambda::Permission"}
    yield from (f"{name} grants rights that this test does not read" for name, _ in resolver.resources(*kinds))
