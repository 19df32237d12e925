"""Reads docker/aws/cadmill.yaml, and resolves its functions as CloudFormation does.

Every resource gets a made-up ARN and name, so that what two places of the template name can be
compared. A function, a parameter or an attribute that is not known is an error.
"""

import copy
import ipaddress
import re
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
TEMPLATE = REPOSITORY / "docker/aws/cadmill.yaml"

PSEUDO = {
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::StackName": "cadmill",
}
# What must be given, and what a test may leave alone.
GIVEN = {
    "WorkerImage": "worker:1",
    "ApiImage": "api:1",
    "CleanupImage": "cleanup:1",
    "CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/1",
    "ApiTokens": "team:" + "ab" * 32,
}
NO_VALUE = object()


class Loader(yaml.SafeLoader):
    """YAML with the short forms of CloudFormation's functions."""


def short_form(loader, tag, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt":
        value = value.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


Loader.add_multi_constructor("!", short_form)


def read():
    return yaml.load(TEMPLATE.read_text(), Loader)


def changed(template, change):
    """A copy of the template with a fault."""
    template = copy.deepcopy(template)
    change(template)
    return template


def arn(service, name):
    return f"arn:aws:{service}:{PSEUDO['AWS::Region']}:{PSEUDO['AWS::AccountId']}:{name}"


# Ref and Arn of each type; {} is the logical id in lower case.
NAMES = {
    "AWS::S3::Bucket": ("{}", "arn:aws:s3:::{}"),
    "AWS::DynamoDB::Table": ("{}", arn("dynamodb", "table/{}")),
    "AWS::SQS::Queue": ("https://sqs.us-east-1.amazonaws.com/123456789012/{}", arn("sqs", "{}")),
    "AWS::Events::Rule": ("{}", arn("events", "rule/{}")),
    "AWS::KMS::Key": ("{}", arn("kms", "key/{}")),
    "AWS::ECS::Cluster": ("{}", arn("ecs", "cluster/{}")),
    "AWS::ECS::TaskDefinition": (arn("ecs", "task-definition/{}:1"), None),
    "AWS::ECS::Service": (arn("ecs", "service/{}"), None),
    "AWS::IAM::Role": ("{}", "arn:aws:iam::123456789012:role/{}"),
    "AWS::Logs::LogGroup": ("{}", arn("logs", "log-group:{}:*")),
}


class Resolver:
    """Values of a template with these parameters."""

    def __init__(self, template, **parameters):
        self.template = template
        self.parameters = {}
        for name, about in template["Parameters"].items():
            value = parameters.pop(name, GIVEN.get(name, about.get("Default")))
            assert value is not None, f"{name} is not given and has no default"
            allowed = about.get("AllowedValues")
            assert allowed is None or value in allowed, f"{name} may not be {value}"
            if about["Type"] == "CommaDelimitedList":
                value = value.split(",")
            self.parameters[name] = value
        assert not parameters, f"there are no such parameters: {parameters}"

    def resources(self, *types):
        """The resources of these types whose condition holds, with their properties."""
        for name, resource in self.template["Resources"].items():
            if resource["Type"] in types and self.holds(resource.get("Condition")):
                yield name, self.value(resource.get("Properties", {}))

    def properties(self, name):
        return self.value(self.template["Resources"][name]["Properties"])

    def holds(self, condition):
        return condition is None or self.value(self.template["Conditions"][condition])

    def value(self, value):
        if isinstance(value, list):
            values = [self.value(item) for item in value]
            return [item for item in values if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), = value.items()
            if name in ("Ref", "Condition") or name.startswith("Fn::"):
                return self.function(name.removeprefix("Fn::"), argument)
        values = {key: self.value(item) for key, item in value.items()}
        return {key: item for key, item in values.items() if item is not NO_VALUE}

    def function(self, name, argument):
        if name == "If":
            condition, yes, no = argument
            return self.value(yes if self.holds(condition) else no)
        if name == "Condition":
            # A policy has a field of this name too.
            return {name: self.value(argument)} if isinstance(argument, dict) else self.holds(argument)
        if name == "Ref":
            return self.reference(argument)
        if name == "GetAtt":
            return self.attribute(*argument)
        if name == "Sub":
            return re.sub(r"\$\{([\w:.]+)\}", lambda match: str(self.named(match[1])), argument)
        arguments = self.value(argument)
        if name == "Equals":
            return str(arguments[0]) == str(arguments[1])
        if name == "Not":
            return not arguments[0]
        if name == "And":
            return all(arguments)
        if name == "Or":
            return any(arguments)
        if name == "Join":
            return arguments[0].join(arguments[1])
        if name == "Select":
            return arguments[1][int(arguments[0])]
        if name == "FindInMap":
            table, row, column = arguments
            return self.template["Mappings"][table][row][column]
        if name == "GetAZs":
            return ["us-east-1a", "us-east-1b"]
        if name == "Cidr":
            network, count, bits = arguments
            subnets = ipaddress.ip_network(network).subnets(new_prefix=32 - int(bits))
            return [str(subnet) for subnet, _ in zip(subnets, range(int(count)))]
        raise AssertionError(f"the function {name} is not known")

    def named(self, name):
        logical, _, attribute = name.partition(".")
        return self.attribute(logical, attribute) if attribute else self.reference(name)

    def reference(self, name):
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            return self.parameters[name]
        kind = self.template["Resources"][name]["Type"]
        return NAMES.get(kind, ("{}", None))[0].format(name.lower())

    def attribute(self, name, attribute):
        kind = self.template["Resources"][name]["Type"]
        if attribute == "Arn":
            pattern = NAMES[kind][1]
            assert pattern, f"{kind} has no attribute Arn"
            return pattern.format(name.lower())
        return f"{name.lower()}-{attribute.lower()}"
