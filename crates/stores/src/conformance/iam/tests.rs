use super::Resources;
use super::policy::*;
use proptest::prelude::*;

fn policy(statements: &str) -> Result<Policy, String> {
    let text = format!("{{\"Version\": \"2012-10-17\", \"Statement\": [{statements}]}}");
    Policy::parse("test", &text, &[("BucketArn", "arn:aws:s3:::b")])
}

fn allows(policy: &Policy, action: &str, resource: &str) -> bool {
    decide(std::slice::from_ref(policy), &Access::new(action, resource)).is_allowed()
}

const READ: &str = r#"{"Sid": "A", "Effect": "Allow", "Action": ["s3:GetObject", "s3:List*"],
    "Resource": "${BucketArn}/uploads/*"}"#;
const DENY: &str =
    r#"{"Sid": "D", "Effect": "Deny", "Action": "s3:*", "Resource": "${BucketArn}/uploads/x/*"}"#;

#[test]
fn nothing_is_allowed_by_default_and_a_deny_overrules() {
    for statements in [format!("{READ}, {DENY}"), format!("{DENY}, {READ}")] {
        let policy = policy(&statements).unwrap();
        assert!(allows(&policy, "s3:GetObject", "arn:aws:s3:::b/uploads/y/a.zip"));
        assert!(allows(&policy, "S3:getobject", "arn:aws:s3:::b/uploads/y"), "actions have no case");
        assert!(allows(&policy, "s3:ListAnything", "arn:aws:s3:::b/uploads/y"));
        assert!(!allows(&policy, "s3:GetObject", "arn:aws:s3:::b/Uploads/y"), "resources have");
        assert!(!allows(&policy, "s3:GetObject", "arn:aws:s3:::b/uploads/x/a.zip"), "denied");
        assert!(!allows(&policy, "s3:PutObject", "arn:aws:s3:::b/uploads/y"), "not allowed");
        assert!(!allows(&policy, "s3:GetObject", "arn:aws:s3:::b"), "another resource");
    }
    assert_eq!(decide(&[], &Access::new("s3:GetObject", "arn:aws:s3:::b/k")), Verdict::Refused);
    // A deny of one policy overrules the allow of another.
    let both = [policy(READ).unwrap(), policy(DENY).unwrap()];
    let access = Access::new("s3:GetObject", "arn:aws:s3:::b/uploads/x/a.zip");
    assert_eq!(decide(&both, &access), Verdict::Refused);
    let grant = Grant { policy: "test".to_owned(), sid: "A".to_owned(), action: "s3:GetObject".to_owned() };
    assert_eq!(
        decide(&both, &Access::new("s3:GetObject", "arn:aws:s3:::b/uploads/y")),
        Verdict::Allowed(vec![grant])
    );
}

#[test]
fn a_condition_holds_for_its_values_and_never_without_one() {
    let condition = |operator: &str, value: &str| {
        policy(&format!(
            r#"{{"Sid": "A", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*",
            "Condition": {{"{operator}": {{"s3:authType": {value}}}}}}}"#
        ))
    };
    let access = Access::new("s3:GetObject", "arn:aws:s3:::b/k");
    let decide = |policy: Policy, access: &Access| decide(&[policy], access).is_allowed();
    for value in [r#""REST-QUERY-STRING""#, r#"["POST", "REST-QUERY-STRING"]"#] {
        let policy = condition("StringEquals", value).unwrap();
        assert!(decide(policy.clone(), &access.clone().with(AUTH_TYPE, BY_QUERY)));
        assert!(!decide(policy.clone(), &access.clone().with(AUTH_TYPE, BY_HEADER)));
        assert!(!decide(policy, &access));
    }
    let pattern = r#""REST-*""#;
    let by_query = access.with(AUTH_TYPE, BY_QUERY);
    assert!(decide(condition("StringLike", pattern).unwrap(), &by_query));
    assert!(!decide(condition("StringEquals", pattern).unwrap(), &by_query));
}

#[test]
fn what_is_not_known_is_an_error() {
    let rows = [
        (r#""Condition": {"IpAddress": {"s3:authType": "x"}}"#, "operator"),
        (r#""Condition": {"StringEquals": {"s3:prefix": "x"}}"#, "key"),
        (r#""NotAction": "s3:GetObject""#, "NotAction"),
        (r#""Principal": "*""#, "Principal"),
    ];
    for (more, expected) in rows {
        let statement = format!(
            r#"{{"Sid": "A", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", {more}}}"#
        );
        let error = policy(&statement).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let with = |action: &str, resource: &str, effect: &str| {
        policy(&format!(
            r#"{{"Sid": "A", "Effect": "{effect}", "Action": {action}, "Resource": {resource}}}"#
        ))
    };
    with(r#""s3:Get*""#, r#""*""#, "Allow").unwrap();
    for (action, resource, effect) in [
        (r#""GetObject""#, r#""*""#, "Allow"),
        (r#""s3:Get Object""#, r#""*""#, "Allow"),
        ("[]", r#""*""#, "Allow"),
        (r#""s3:GetObject""#, "[]", "Allow"),
        (r#""s3:GetObject""#, r#""${TableArn}""#, "Allow"),
        (r#""s3:GetObject""#, r#""${BucketArn""#, "Allow"),
        (r#""s3:GetObject""#, r#""*""#, "allow"),
    ] {
        with(action, resource, effect).unwrap_err();
    }
    policy(&format!("{READ}, {READ}")).unwrap_err();
    policy("").unwrap_err();
    let old = format!("{{\"Version\": \"2008-10-17\", \"Statement\": [{READ}]}}");
    Policy::parse("test", &old, &[("BucketArn", "b")]).unwrap_err();
}

fn resources() -> Resources {
    Resources::named("b", "t", "http://127.0.0.1:1/123456789012/q", "q-dead")
}

/// The table of the roles: every access that differs between them.
#[test]
fn a_program_may_do_its_own_work_and_no_more() {
    let upload = "arn:aws:s3:::b/uploads/j/a.zip";
    let result = "arn:aws:s3:::b/processed/j/1/a.dxf";
    let (bucket, ledger) = ("arn:aws:s3:::b", "arn:aws:s3:::b-ledgers/audit/j/1-0/begun");
    let deletion = "arn:aws:s3:::b-ledgers/audit/j/0-1/begun";
    let Resources { table, queue, dead_letters, key, .. } = resources();
    let (owner, due) = (format!("{table}/index/by_owner"), format!("{table}/index/by_due"));
    // Action, resource, signed by; allowed to worker, API, cleanup.
    let rows = [
        ("s3:GetObject", upload, BY_HEADER, [true, false, false]),
        ("s3:GetObject", upload, BY_QUERY, [true, false, false]),
        ("s3:GetObject", result, BY_HEADER, [true, false, false]),
        ("s3:GetObject", result, BY_QUERY, [true, true, false]),
        ("s3:GetObjectVersion", result, BY_QUERY, [false, true, false]),
        ("s3:PutObject", upload, BY_QUERY, [false, true, false]),
        ("s3:PutObject", upload, BY_HEADER, [false, true, false]),
        ("s3:PutObject", result, BY_HEADER, [true, false, false]),
        ("s3:PutObject", ledger, BY_HEADER, [true, false, false]),
        ("s3:PutObject", deletion, BY_HEADER, [true, true, true]),
        ("s3:DeleteObject", ledger, BY_HEADER, [false, false, false]),
        ("s3:DeleteObject", deletion, BY_HEADER, [false, false, false]),
        ("s3:DeleteObject", upload, BY_HEADER, [true, true, true]),
        ("s3:DeleteObjectVersion", upload, BY_HEADER, [true, true, true]),
        ("s3:DeleteObject", result, BY_HEADER, [false, true, true]),
        ("s3:AbortMultipartUpload", upload, BY_HEADER, [false, true, true]),
        ("s3:AbortMultipartUpload", result, BY_HEADER, [true, true, true]),
        ("s3:ListBucket", bucket, BY_HEADER, [false, true, true]),
        ("s3:ListBucketVersions", bucket, BY_HEADER, [false, true, true]),
        ("s3:ListBucketMultipartUploads", bucket, BY_HEADER, [false, true, true]),
        ("dynamodb:PutItem", &table, BY_HEADER, [true, true, true]),
        ("dynamodb:DeleteItem", &table, BY_HEADER, [false, false, true]),
        ("dynamodb:Scan", &table, BY_HEADER, [false, false, false]),
        ("dynamodb:Query", &owner, BY_HEADER, [false, true, false]),
        ("dynamodb:Query", &due, BY_HEADER, [false, false, true]),
        ("sqs:ReceiveMessage", &queue, BY_HEADER, [true, false, false]),
        ("sqs:SendMessage", &queue, BY_HEADER, [true, false, true]),
        ("sqs:SendMessage", &dead_letters, BY_HEADER, [true, false, false]),
        ("sqs:ReceiveMessage", &dead_letters, BY_HEADER, [false, false, true]),
        ("sqs:DeleteMessage", &dead_letters, BY_HEADER, [false, false, true]),
        ("sqs:DeleteMessage", &queue, BY_HEADER, [true, false, false]),
        ("kms:Sign", &key, BY_HEADER, [true, true, true]),
    ];
    for (action, resource, how, expected) in rows {
        let access = Access::new(action, resource).with(AUTH_TYPE, how);
        let found = ["worker", "api", "cleanup"]
            .map(|program| decide(&[resources().policy(program)], &access).is_allowed());
        assert_eq!(found, expected, "worker, API, cleanup: {action} on {resource}, {how}");
    }
}

/// A wildcard would grant what no test has used.
#[test]
fn the_documents_name_every_action() {
    for program in ["worker", "api", "cleanup"] {
        let mut grants = 0;
        for grant in resources().policy(program).grants() {
            assert!(!grant.action.contains(['*', '?']), "{grant:?}");
            grants += 1;
        }
        assert!(grants >= 10, "{program}");
    }
}

proptest! {
    /// A pattern matches what it was made of, whatever stands for its wildcards.
    #[test]
    fn a_pattern_matches_what_it_stands_for(
        pieces in prop::collection::vec("[a-c/]{0,3}", 1..5),
        fillings in prop::collection::vec("[a-c/é]{0,4}", 5),
    ) {
        let pattern = pieces.join("*");
        let mut text = pieces[0].clone();
        for (piece, filling) in pieces[1..].iter().zip(&fillings) {
            text += filling;
            text += piece;
        }
        prop_assert!(matches(&pattern, &text), "{pattern} {text}");
    }

    /// The same decision as a slow matcher by recursion.
    #[test]
    fn matching_is_exact(pattern in "[ab?*]{0,6}", text in "[ab]{0,7}") {
        fn slow(pattern: &[u8], text: &[u8]) -> bool {
            match pattern.split_first() {
                None => text.is_empty(),
                Some((b'*', rest)) => (0..=text.len()).any(|taken| slow(rest, &text[taken..])),
                Some((b'?', rest)) => !text.is_empty() && slow(rest, &text[1..]),
                Some((c, rest)) => text.first() == Some(c) && slow(rest, &text[1..]),
            }
        }
        prop_assert_eq!(matches(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()));
    }

    /// Another deny never allows more, another allow never less, whatever their order.
    #[test]
    fn a_deny_takes_and_an_allow_gives(
        statements in prop::collection::vec((any::<bool>(), "s3:(Get|Put|\\*)", "[ab]|\\*"), 1..6),
        action in "s3:(Get|Put)",
        resource in "[ab]",
    ) {
        let build = |statements: &[(bool, String, String)]| {
            let text: Vec<_> = statements.iter().enumerate().map(|(at, (allow, action, resource))| {
                let effect = if *allow { "Allow" } else { "Deny" };
                format!(r#"{{"Sid": "S{at}", "Effect": "{effect}", "Action": "{action}", "Resource": "{resource}"}}"#)
            }).collect();
            policy(&text.join(", ")).unwrap()
        };
        let hit = |wanted: bool| statements.iter().any(|(allow, a, r)| {
            *allow == wanted && matches(a, &action) && matches(r, &resource)
        });
        let allowed = allows(&build(&statements), &action, &resource);
        prop_assert_eq!(allowed, hit(true) && !hit(false));
        let reversed: Vec<_> = statements.iter().rev().cloned().collect();
        prop_assert_eq!(allows(&build(&reversed), &action, &resource), allowed);
    }
}
