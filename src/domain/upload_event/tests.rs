use super::*;
use proptest::prelude::*;

const ID: &str = "0188a5eb-4c1d-7c3e-9a27-2f1d3c4b5a69";

/// The parsed event without the object, which has its own test.
fn parse(body: &str) -> Result<Vec<UploadEvent>, NoticeError> {
    let mut notices = super::parse(body)?;
    for notice in &mut notices {
        assert!(notice.key.as_ref().is_some_and(|key| key.job() == notice.job));
        (notice.key, notice.version, notice.at) = (None, None, None);
    }
    Ok(notices)
}

fn expected(reason: &str, sequencer: &str) -> Vec<UploadEvent> {
    vec![UploadEvent {
        bucket: "amzn-s3-demo-bucket1".to_owned(),
        job: ID.parse().unwrap(),
        key: None,
        version: None,
        sequencer: sequencer.to_owned(),
        reason: reason.to_owned(),
        at: None,
    }]
}

/// Sample from the Amazon S3 User Guide, "EventBridge event message structure".
fn eventbridge(detail_type: &str, key: &str) -> String {
    json!({
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": detail_type,
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2021-11-12T00:00:00Z",
        "region": "ca-central-1",
        "resources": ["arn:aws:s3:::amzn-s3-demo-bucket1"],
        "detail": {
            "version": "0",
            "bucket": { "name": "amzn-s3-demo-bucket1" },
            "object": {
                "key": key,
                "size": 5,
                "etag": "b1946ac92492d2347c6235b4d2611184",
                "version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
                "sequencer": "617f08299329d189"
            },
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject"
        }
    })
    .to_string()
}

/// Sample from the Amazon S3 User Guide, "Event message structure".
fn notification(name: &str, key: &str) -> String {
    json!({ "Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-west-2",
        "eventTime": "1970-01-01T00:00:00.000Z",
        "eventName": name,
        "userIdentity": { "principalId": "AIDAJDPLRKLG7UEXAMPLE" },
        "requestParameters": { "sourceIPAddress": "127.0.0.1" },
        "responseElements": { "x-amz-request-id": "C3D13FE58DE4C810" },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "testConfigRule",
            "bucket": {
                "name": "amzn-s3-demo-bucket1",
                "ownerIdentity": { "principalId": "A3NL1KOZZKExample" },
                "arn": "arn:aws:s3:::amzn-s3-demo-bucket1"
            },
            "object": {
                "key": key,
                "size": 1024,
                "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "versionId": "096fKKXTRTtl3on89fVO.nfljtsv6qko",
                "sequencer": "0055AED6DCD90281E5"
            }
        }
    }] })
    .to_string()
}

#[test]
fn events_of_eventbridge_are_read() {
    let key = format!("uploads/{ID}/a+b%20c.zip");
    assert_eq!(
        parse(&eventbridge("Object Created", &key)),
        Ok(expected("PutObject", "617f08299329d189")),
        "the key is taken as it is"
    );
    assert_eq!(parse(&eventbridge("Object Deleted", &key)), Ok(vec![]));
    let encoded = key.replace("uploads/", "uploads%2F");
    assert_eq!(parse(&eventbridge("Object Created", &encoded)), Ok(vec![]), "these keys are not encoded");
}

/// moto spells the ETag field differently and uses its own reasons.
#[test]
fn events_of_moto_are_read() {
    let event = eventbridge("Object Created", &format!("uploads/{ID}/a.zip"))
        .replace("\"etag\"", "\"eTag\"")
        .replace("\"PutObject\"", "\"ObjectCreated\"");
    assert_eq!(parse(&event), Ok(expected("ObjectCreated", "617f08299329d189")));
}

#[test]
fn notifications_of_a_bucket_are_read() {
    for key in ["a.zip", "a+b%2B%C3%BC.zip", "100%25.zip", "%", "a%2"] {
        let body = notification("ObjectCreated:Put", &format!("uploads/{ID}/{key}"));
        assert_eq!(parse(&body), Ok(expected("Put", "0055AED6DCD90281E5")), "{key}");
    }
    let encoded = format!("uploads%2F{ID}%2Fa.zip");
    assert_eq!(parse(&notification("ObjectCreated:Put", &encoded)).map(|n| n.len()), Ok(1));
    let completed = notification("ObjectCreated:CompleteMultipartUpload", &encoded);
    assert_eq!(parse(&completed), Ok(expected("CompleteMultipartUpload", "0055AED6DCD90281E5")));
    for (name, key) in [
        ("ObjectRemoved:Delete", encoded.as_str()),
        ("ObjectCreated:Put", "processed%2Fx"),
        ("ObjectCreated:Put", "uploads/%FF/a"),
    ] {
        assert_eq!(parse(&notification(name, key)), Ok(vec![]), "{name} {key}");
    }
    assert_eq!(parse("{\"Records\": []}"), Ok(vec![]));
}

#[test]
fn the_object_is_told_with_its_version() {
    let read = |body: &str| {
        let notice = super::parse(body).unwrap().pop().unwrap();
        (notice.key.unwrap().to_string(), notice.version)
    };
    let key = format!("uploads/{ID}/a b.zip");
    let version = Some("IYV3p45BT0ac8hjHg1houSdS1a.Mro8e".to_owned());
    let event = eventbridge("Object Created", &key);
    assert_eq!(read(&event), (key.clone(), version));
    let notified = notification("ObjectCreated:Put", &format!("uploads/{ID}/a+b.zip"));
    assert_eq!(read(&notified), (key.clone(), Some("096fKKXTRTtl3on89fVO.nfljtsv6qko".to_owned())));
    // An unversioned bucket.
    for none in ["\"version-id\":null", "\"version-id\":\"\"", "\"other\":\"x\""] {
        let event = event.replace("\"version-id\":\"IYV3p45BT0ac8hjHg1houSdS1a.Mro8e\"", none);
        assert_eq!(read(&event), (key.clone(), None), "{none}");
    }
}

#[test]
fn a_test_event_and_others_objects_are_no_notices() {
    let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2014-10-13T15:57:02.089Z",
        "Bucket":"bucketname","RequestId":"5582815E1AEA5ADF","HostId":"8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR"}"#;
    assert_eq!(parse(test), Ok(vec![]));
    for key in [
        &format!("processed/{ID}/1/a.dxf"),
        "uploads/a.zip",
        "reports/2021.pdf",
        "",
        &format!("uploads/{}/a.zip", ID.to_uppercase()),
    ] {
        assert_eq!(parse(&eventbridge("Object Created", key)), Ok(vec![]), "{key}");
    }
}

#[test]
fn what_is_no_event_is_an_error_that_quotes_nothing() {
    for bad in ["", "{", "null", "[]", "\"secret.zip\"", "{\"Records\": [}"] {
        assert_eq!(parse(bad), Err(NoticeError::Json), "{bad}");
    }
    for bad in [
        "{}",
        "{\"Records\": 1}",
        "{\"Records\": [{\"s3\": \"secret.zip\"}]}",
        "{\"Records\": [{\"eventSource\": \"aws:s3\", \"eventName\": \"ObjectCreated:Put\"}]}",
        "{\"source\": \"aws.s3\", \"detail-type\": \"Object Created\", \"detail\": {}}",
        "{\"key\": \"secret.zip\"}",
    ] {
        let error = parse(bad).unwrap_err();
        assert!(matches!(error, NoticeError::Shape(_)), "{bad}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn a_trace_in_an_event_changes_nothing_else() {
    let trace: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    let event = eventbridge("cadmill", "x");
    let sent = traced(event.clone(), Some(&trace));
    assert!(
        sent.contains("\"traceparent\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\""),
        "{sent}"
    );
    assert_eq!(parse(&sent), parse(&event));
    assert_eq!(traced(event.clone(), None), event);
    assert_eq!(traced("no event".to_owned(), Some(&trace)), "no event");
}

/// A job waits from its upload on, and not from the delivery of the event.
#[test]
fn the_time_of_an_event_is_read() {
    let at = |body: &str| super::parse(body).unwrap()[0].at;
    let event = eventbridge("Object Created", &format!("uploads/{ID}/a.zip"));
    assert_eq!(at(&event), Some(1_636_675_200_000));
    assert_eq!(at(&event.replace("2021-11-12T00:00:00Z", "yesterday")), None);
    assert_eq!(at(&event.replace("2021-11-12T00:00:00Z", "1969-11-12T00:00:00Z")), None);
    let notification = notification("ObjectCreated:Put", &format!("uploads/{ID}/a.zip"));
    assert_eq!(at(&notification), Some(0));
    assert_eq!(at(&notification.replace("00.000Z", "01.250Z")), Some(1250));
}

proptest! {
    #[test]
    fn any_text_is_judged_without_a_panic(text in any::<String>()) {
        let _ = (parse(&text), decoded(&text));
        let _ = parse(&notification("ObjectCreated:Put", &text));
        let _ = parse(&eventbridge(&text, &text));
    }

    #[test]
    fn what_is_made_is_read(
        bytes in any::<[u8; 16]>(),
        file in "[^/\\\\\\x00-\\x1f\\x7f-\\x9f]{1,60}",
        sequencer in "[0-9A-F]{0,20}",
        reason in "PutObject|CompleteMultipartUpload",
        upload in any::<bool>(),
        version in prop::option::of("[a-z]{3}"),
        time in any::<Millis>(),
    ) {
        prop_assume!(file != "." && file != "..");
        let (job, file) = (JobId::from_random_bytes(bytes), file.parse().unwrap());
        let key = if upload { ObjectKey::upload(job, file) } else { ObjectKey::processed(job, 1, file) };
        let object = Object { key, size_bytes: 1, etag: "\"e\"".to_owned(), version, sha256: None, encoded: None };
        let made = object_created("cadmill", &object, &sequencer, &reason, ID, time);
        let (key, version) = (Some(object.key), object.version);
        // Whole seconds, up to the year 9999.
        let at = Some(time.min(253_402_300_799_000) / 1000 * 1000);
        let expected = UploadEvent { bucket: "cadmill".to_owned(), job, key, version, sequencer, reason, at };
        prop_assert_eq!(super::parse(&made), Ok(if upload { vec![expected] } else { vec![] }));
    }
}
