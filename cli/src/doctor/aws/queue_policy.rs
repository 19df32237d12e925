//! Whether the policy of a queue lets EventBridge send to it.
//!
//! Refusals are not weighed: those of the template are about requests without TLS, which EventBridge
//! does not make. The probe object decides in the end; this only says where to look.

use serde_json::Value;

/// The service that sends.
const SENDER: &str = "events.amazonaws.com";

/// Whether a statement allows a rule of EventBridge to send a message to the queue with this ARN.
pub(super) fn lets_a_rule_send(policy: Option<&str>, arn: &str) -> bool {
    let policy = policy.and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
    let statements = match &policy["Statement"] {
        Value::Array(statements) => statements.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    };
    statements.into_iter().any(|statement| allows(statement, arn))
}

fn allows(statement: &Value, arn: &str) -> bool {
    let principal = match &statement["Principal"] {
        Value::String(everyone) => everyone == "*",
        principal => {
            texts(&principal["Service"]).any(|name| name == SENDER)
                || texts(&principal["AWS"]).any(|name| name == "*")
        }
    };
    let action =
        texts(&statement["Action"]).any(|action| is_like("sqs:sendmessage", &action.to_ascii_lowercase()));
    let resource = texts(&statement["Resource"]).any(|pattern| is_like(arn, pattern));
    statement["Effect"] == "Allow"
        && principal
        && action
        && resource
        && is_for_a_rule(&statement["Condition"], arn)
}

/// Whether the condition, if it names who sends, lets a rule of the queue's account and region send. What it
/// excludes is not weighed.
fn is_for_a_rule(condition: &Value, queue: &str) -> bool {
    let mut parts = queue.split(':').skip(1);
    let (partition, region) = (parts.next().unwrap_or_default(), parts.nth(1).unwrap_or_default());
    let account = parts.next().unwrap_or_default();
    let rule = format!("arn:{partition}:events:{region}:{account}:rule/");
    let tests = condition.as_object().into_iter().flatten();
    let tests = tests.filter(|(operator, _)| !operator.to_ascii_lowercase().contains("not"));
    let mut tests = tests.filter_map(|(_, test)| test.as_object()).flatten();
    tests.all(|(key, value)| match key.to_ascii_lowercase().as_str() {
        "aws:sourcearn" => texts(value)
            .any(|arn| arn.contains(":events:") && arn.contains(":rule/") || may_begin_with(arn, &rule)),
        "aws:sourceaccount" => texts(value).any(|pattern| is_like(account, pattern)),
        _ => true,
    })
}

/// A text, or the texts of a list.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let list = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    value.as_str().into_iter().chain(list)
}

/// Whether a text is like a pattern, in which `*` stands for any text and `?` for any character.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        Some('*') => {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter().any(|at| is_like(&text[at..], rest.as_str()))
        }
        Some(one) => {
            let mut left = text.chars();
            left.next().is_some_and(|first| one == '?' || one == first)
                && is_like(left.as_str(), rest.as_str())
        }
    }
}

/// Whether a text that begins like this can be like the pattern.
fn may_begin_with(pattern: &str, text: &str) -> bool {
    let (mut rest, mut left) = (pattern.chars(), text.chars());
    match (rest.next(), left.next()) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some('*'), Some(_)) => may_begin_with(rest.as_str(), text) || may_begin_with(pattern, left.as_str()),
        (Some(one), Some(first)) => {
            (one == '?' || one == first) && may_begin_with(rest.as_str(), left.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const QUEUE: &str = "arn:aws:sqs:us-east-1:123456789012:events";
    const RULE: &str = "arn:aws:events:us-east-1:123456789012:rule/uploads";

    fn lets(statement: &Value) -> bool {
        lets_a_rule_send(Some(&json!({"Statement": [statement]}).to_string()), QUEUE)
    }

    #[test]
    fn the_statement_of_the_template_lets_its_rule_send() {
        let statement = json!({
            "Effect": "Allow", "Principal": {"Service": SENDER}, "Action": "sqs:SendMessage", "Resource": "*",
            "Condition": {"ArnEquals": {"aws:SourceArn": RULE}},
        });
        assert!(lets(&statement));
        let changes = [
            ("Effect", json!("Deny")),
            ("Principal", json!({"Service": "s3.amazonaws.com"})),
            ("Action", json!("sqs:ReceiveMessage")),
            ("Resource", json!("arn:aws:sqs:us-east-1:123456789012:other")),
            ("Condition", json!({"ArnEquals": {"aws:SourceArn": "arn:aws:s3:::bucket"}})),
            ("Condition", json!({"ArnLike": {"aws:SourceArn": "arn:aws:events:us-east-1:999999999999:*"}})),
            ("Condition", json!({"StringEquals": {"AWS:SourceAccount": ["999999999999"]}})),
        ];
        for (name, value) in changes {
            let mut other = statement.clone();
            other[name] = value;
            assert!(!lets(&other), "{name}");
        }
        let same = [
            ("Principal", json!("*")),
            ("Principal", json!({"Service": [SENDER, "s3.amazonaws.com"]})),
            ("Action", json!(["SQS:*"])),
            ("Resource", json!(["arn:aws:sqs:*:events"])),
            ("Resource", json!("arn:aws:sqs:us-east-?:123456789012:events")),
            ("Condition", json!({})),
            ("Condition", json!({"ArnLike": {"aws:SourceArn": "arn:aws:events:us-east-1:123456789012:*"}})),
            ("Condition", json!({"StringLike": {"AWS:SourceArn": ["arn:aws:s3:::*", "arn:aws:events:*"]}})),
            ("Condition", json!({"StringEquals": {"aws:SourceAccount": "123456789012"}})),
            ("Condition", json!({"ArnNotLike": {"aws:SourceArn": "arn:aws:s3:::*"}})),
        ];
        for (name, value) in same {
            let mut other = statement.clone();
            other[name] = value;
            assert!(lets(&other), "{name}");
        }
    }

    #[test]
    fn a_queue_without_a_policy_lets_no_rule_send() {
        for policy in [None, Some(""), Some("{}"), Some(r#"{"Statement": []}"#)] {
            assert!(!lets_a_rule_send(policy, QUEUE), "{policy:?}");
        }
    }
}
