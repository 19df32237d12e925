"""The buckets, and the key that signs ledgers."""

import json
import re

import source
from template import Resolver, arn

PREFIXES = {"uploads/", "processed/"}


def objects(template):
    resolver = Resolver(template, WebOrigins="https://app.example.com")
    bucket, ledgers = resolver.properties("Bucket"), resolver.properties("LedgerBucket")
    for name, properties in (("Bucket", bucket), ("LedgerBucket", ledgers)):
        blocked = properties.get("PublicAccessBlockConfiguration", {})
        if blocked != dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True):
            yield f"{name} may be made public"
    rules = bucket["LifecycleConfiguration"]["Rules"]
    yield from (f"a lifecycle rule is for {rule.get('Prefix')!r}" for rule in rules if rule.get("Prefix") not in PREFIXES)
    if {rule.get("Prefix") for rule in rules} != PREFIXES or any(rule["Status"] != "Enabled" for rule in rules):
        yield "the last net does not have both prefixes"
    if any(int(rule["ExpirationInDays"]) < 2 for rule in rules):
        yield "a lifecycle rule deletes what may still wait"
    if "LifecycleConfiguration" in ledgers:
        yield "a lifecycle rule deletes ledgers"
    if not ledgers.get("ObjectLockEnabled") or ledgers.get("VersioningConfiguration") != {"Status": "Enabled"}:
        yield "ledgers are not locked"
    if "VersioningConfiguration" in bucket or "ObjectLockEnabled" in bucket:
        yield "deleted files are kept as versions"
    encryption = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    if encryption["ServerSideEncryptionByDefault"] != {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn("kms", "key/objectkey")}:
        yield "objects are encrypted with another key"
    if bucket.get("NotificationConfiguration") != {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}:
        yield "the bucket sends no events to EventBridge"
    yield from cors(bucket)
    if "CorsConfiguration" in Resolver(template).properties("Bucket"):
        yield "pages may use the bucket without an origin"
    documents = {"Bucket": "BucketPolicy", "LedgerBucket": "LedgerBucketPolicy"}
    for name, policy in documents.items():
        properties = resolver.properties(policy)
        statements = {statement["Sid"]: statement for statement in properties["PolicyDocument"]["Statement"]}
        whole = f"arn:aws:s3:::{name.lower()}"
        if properties["Bucket"] != name.lower():
            yield f"{policy} is for another bucket"
        if any(statement["Effect"] != "Deny" for statement in statements.values()):
            yield f"{policy} allows something"
        tls = {"Sid": "OnlyTls", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [whole, whole + "/*"]}
        if statements.get("OnlyTls") != {**tls, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}:
            yield f"{name} may be used without TLS"
        once = {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}
        if name == "Bucket" and statements.get("WriteOnce", {}).get("Condition") != once:
            yield "an object may be written twice"
    key = resolver.properties("LedgerKey")
    if (key.get("KeySpec"), key.get("KeyUsage")) != ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY"):
        yield "the key of ledgers cannot sign them"
    kept = ("LedgerKey", "LedgerBucket")
    for name in kept:
        if template["Resources"][name].get("DeletionPolicy") != "Retain":
            yield f"{name} is deleted with the stack"


def cors(bucket):
    rules = bucket.get("CorsConfiguration", {}).get("CorsRules", [{}])
    expected = {
        "AllowedOrigins": ["https://app.example.com"],
        "AllowedMethods": ["PUT", "GET", "HEAD"],
        "AllowedHeaders": ["if-none-match", "content-type", "x-amz-checksum-sha256"],
        "ExposedHeaders": ["ETag"],
        "MaxAge": 600,
    }
    if rules != [expected]:
        yield f"pages may do {rules}"
    # docs/AWS.md shows the same.
    shown = re.search(r"```json\n(\[\{\n  \"AllowedOrigins\".*?\])\n```", source.text("docs/AWS.md"), re.DOTALL)
    documented, = json.loads(shown[1])
    names = {"ExposeHeaders": "ExposedHeaders", "MaxAgeSeconds": "MaxAge"}
    documented = {names.get(name, name): value for name, value in documented.items()}
    if documented != expected:
        yield "docs/AWS.md has another rule for pages"
