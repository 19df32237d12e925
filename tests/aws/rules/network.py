"""What reaches what."""

import source
from template import Resolver

from .tasks import variables

def network(template):
    resolver = Resolver(template)
    for name, group in resolver.resources("AWS::EC2::SecurityGroup"):
        for rule in group.get("SecurityGroupIngress", ()):
            if name != "LoadBalancerGroup" and "CidrIp" in rule:
                yield f"{name} lets {rule['CidrIp']} in"
        if "SecurityGroupEgress" not in group:
            yield f"{name} lets everything out"
    for name, service in resolver.resources("AWS::ECS::Service"):
        if service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] != "DISABLED":
            yield f"{name} has public addresses"
    tables = {route["RouteTableId"] for _, route in resolver.resources("AWS::EC2::Route")}
    if tables != {"publicroutes"}:
        yield "the tasks have a way to the internet"
    listener = resolver.properties("Listener")
    if (listener["Protocol"], listener["Port"]) != ("HTTPS", 443) or len(list(resolver.resources("AWS::ElasticLoadBalancingV2::Listener"))) != 1:
        yield "the load balancer listens without TLS"
    attributes = {one["Key"]: one["Value"] for one in resolver.properties("LoadBalancer")["LoadBalancerAttributes"]}
    idle = source.found(r"`api.proxy_idle_time` \|.*?\| duration \| `(\d+)s`", "docs/CONFIGURATION.md", 1)
    if int(attributes["idle_timeout.timeout_seconds"]) >= int(idle[0]):
        yield "the API closes connections that the load balancer uses"
    target = resolver.properties("TargetGroup")
    listen = variables(resolver.properties("ApiTask")["ContainerDefinitions"][0])["CADMILL_API_LISTEN"]
    if target["HealthCheckPath"] != "/healthz" or listen != f"0.0.0.0:{target['Port']}":
        yield "the load balancer asks for another address than the API has"
    services = {endpoint["ServiceName"].removeprefix("com.amazonaws.us-east-1.") for _, endpoint in resolver.resources("AWS::EC2::VPCEndpoint")}
    if services != {"s3", "dynamodb", "sqs", "ecr.api", "ecr.dkr", "logs", "kms"}:
        yield f"a new VPC has endpoints of {services}"
    way = {name for name, _ in resolver.resources("AWS::EC2::VPCEndpoint", "AWS::EC2::SubnetRouteTableAssociation") if "Public" not in name}
    awaited = {word for tag in resolver.properties("Cluster").get("Tags", ()) for word in tag["Value"].split()}
    if {name.lower() for name in way} - awaited:
        yield "tasks may start before they can reach what they need"
    if any(template["Resources"][subnet].get("DependsOn") != "GatewayAttachment" for subnet in ("PublicA", "PublicB")):
        yield "the load balancer may be made before its way to the internet"
    existing = Resolver(template, VpcId="vpc-1")
    kinds = ("AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::VPCEndpoint", "AWS::EC2::InternetGateway")
    yield from (f"{name} is made in an existing VPC" for name, _ in existing.resources(*kinds))
