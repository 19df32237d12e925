//! What AWS charges for a request: the class of a request to S3, the capacity units of one to
//! DynamoDB, and requests to SQS.
//!
//! Sources: Amazon S3 pricing, "Requests" (PUT, COPY, POST and LIST are one class, GET and all others
//! another; DELETE and the abortion of an upload are free); Amazon DynamoDB Developer Guide, "DynamoDB
//! read and write operations" and "Provisioned throughput considerations for global secondary
//! indexes"; Amazon SQS pricing. What a failed condition costs is charged as well.

use serde_json::Value;
use std::collections::BTreeMap;

/// Requests and units, by program and operation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bill {
    /// Requests, by program and by operation such as `s3:PutObject`.
    pub requests: BTreeMap<(String, String), u64>,
    /// Requests to S3 of the class PUT, COPY, POST, LIST.
    pub s3_put_class: u64,
    /// Requests to S3 of the class GET, SELECT and all others.
    pub s3_get_class: u64,
    /// Write units of the table and its indexes.
    pub write_units: u64,
    /// Read units, in halves: an eventually consistent read costs half a unit.
    pub half_read_units: u64,
    /// Requests to SQS.
    pub sqs: u64,
    /// Records that were written to the table, in order, each with its units; without failed
    /// conditions.
    pub records: Vec<(Value, u64)>,
    /// Write units of deleted records, which are in `write_units` too.
    pub deleted_units: u64,
}

impl Bill {
    /// What was added since an earlier state.
    pub fn since(&self, earlier: &Self) -> Self {
        let requests = self.requests.iter().filter_map(|(key, count)| {
            let more = count - earlier.requests.get(key).unwrap_or(&0);
            (more > 0).then(|| (key.clone(), more))
        });
        Self {
            requests: requests.collect(),
            s3_put_class: self.s3_put_class - earlier.s3_put_class,
            s3_get_class: self.s3_get_class - earlier.s3_get_class,
            write_units: self.write_units - earlier.write_units,
            half_read_units: self.half_read_units - earlier.half_read_units,
            sqs: self.sqs - earlier.sqs,
            records: self.records[earlier.records.len()..].to_vec(),
            deleted_units: self.deleted_units - earlier.deleted_units,
        }
    }
}

/// Reads requests and replies, and adds up what they cost.
#[derive(Debug, Default)]
pub struct Meter {
    bill: Bill,
    /// The items of the table, by id: index keys, and size in bytes.
    items: BTreeMap<String, Item>,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Item {
    owner: Option<Value>,
    due: Option<Value>,
    bytes: u64,
}

impl Item {
    fn of(item: &Value) -> Self {
        let pair = |one: &str, two: &str| match (&item[one], &item[two]) {
            (Value::Null, _) | (_, Value::Null) => None,
            (one, two) => Some(serde_json::json!([one, two])),
        };
        Self { owner: pair("owner", "created"), due: pair("due_shard", "due"), bytes: size(item) }
    }
}

impl Meter {
    /// What the requests so far cost.
    pub fn bill(&self) -> &Bill {
        &self.bill
    }

    /// A request to S3, by the action that it takes and its method.
    pub fn s3(&mut self, program: &str, action: &str, method: &str) {
        self.request(program, action);
        let lists = action.starts_with("s3:List") && method == "GET";
        match method {
            "DELETE" => {}
            "PUT" | "POST" => self.bill.s3_put_class += 1,
            _ if lists => self.bill.s3_put_class += 1,
            _ => self.bill.s3_get_class += 1,
        }
    }

    /// A request to a service that speaks JSON, and its reply.
    ///
    /// # Panics
    /// If it is a write to DynamoDB that the meter cannot price.
    pub fn json(&mut self, program: &str, action: &str, body: &Value, reply: &Value) {
        self.request(program, action);
        match action.split_once(':') {
            Some(("sqs", _)) => self.bill.sqs += 1,
            Some(("dynamodb", operation)) => self.dynamodb(operation, body, reply),
            _ => {}
        }
    }

    fn request(&mut self, program: &str, action: &str) {
        *self.bill.requests.entry((program.to_owned(), action.to_owned())).or_default() += 1;
    }

    fn dynamodb(&mut self, operation: &str, body: &Value, reply: &Value) {
        let failed = reply["__type"].is_string();
        match operation {
            "PutItem" => {
                let next = Item::of(&body["Item"]);
                let id = text(&body["Item"]["id"]);
                let kept = if failed { self.items.get(&id).cloned() } else { Some(next.clone()) };
                let before = self.bill.write_units;
                self.write(id, kept, next.bytes);
                let record = serde_json::from_str(&text(&body["Item"]["record"])).unwrap_or_default();
                if !failed {
                    self.bill.records.push((record, self.bill.write_units - before));
                }
            }
            "DeleteItem" => {
                let id = text(&body["Key"]["id"]);
                let kept = if failed { self.items.get(&id).cloned() } else { None };
                let before = self.bill.write_units;
                self.write(id, kept, 1);
                if !failed {
                    self.bill.deleted_units += self.bill.write_units - before;
                }
            }
            // Puts off what is due: the index moves, and nothing else changes.
            "UpdateItem" => {
                let id = text(&body["Key"]["id"]);
                let next = self.items.get(&id).filter(|_| !failed).cloned();
                let due = Some(body["ExpressionAttributeValues"].clone());
                match next {
                    Some(old) => self.write(id, Some(Item { due, ..old }), 1),
                    None => self.bill.write_units += 1,
                }
            }
            "GetItem" => {
                let units = size(&reply["Item"]).div_ceil(4096).max(1);
                let consistent = body["ConsistentRead"].as_bool() == Some(true);
                self.bill.half_read_units += units * if consistent { 2 } else { 1 };
            }
            "BatchGetItem" => {
                let found = reply["Responses"].as_object().into_iter().flatten();
                let items = found.flat_map(|(_, items)| items.as_array().into_iter().flatten());
                self.bill.half_read_units += items.map(|item| size(item).div_ceil(4096).max(1)).sum::<u64>();
            }
            "Query" => {
                let items = reply["Items"].as_array().into_iter().flatten();
                self.bill.half_read_units += items.map(size).sum::<u64>().div_ceil(4096).max(1);
            }
            "DescribeTable" => {}
            other => panic!("the price of {other} is not known"),
        }
    }

    /// A write: one unit for each begun KiB of the larger of the old and the new item, and for each
    /// index one unit for an entry that is deleted and one for an entry that is added.
    fn write(&mut self, id: String, next: Option<Item>, attempted: u64) {
        let old = self.items.get(&id).cloned();
        let bytes = attempted.max(old.as_ref().map_or(0, |old| old.bytes));
        self.bill.write_units += bytes.div_ceil(1024).max(1);
        let (old_owner, old_due) = old.map(|old| (old.owner, old.due)).unwrap_or_default();
        let (owner, due) = next.clone().map(|next| (next.owner, next.due)).unwrap_or_default();
        for (old, new) in [(old_owner, owner), (old_due, due)] {
            if old != new {
                self.bill.write_units += u64::from(old.is_some()) + u64::from(new.is_some());
            }
        }
        match next {
            Some(next) => self.items.insert(id, next),
            None => self.items.remove(&id),
        };
    }
}

fn text(value: &Value) -> String {
    value["S"].as_str().unwrap_or_default().to_owned()
}

/// The size of an item in bytes: the names and the values of its attributes (Amazon DynamoDB
/// Developer Guide, "DynamoDB item sizes and formats"). A number has one byte for two digits and one
/// more.
fn size(item: &Value) -> u64 {
    let attributes = item.as_object().into_iter().flatten();
    let bytes = attributes.map(|(name, value)| {
        let value = match (value["S"].as_str(), value["N"].as_str()) {
            (Some(text), _) => text.len(),
            (None, Some(number)) => number.len().div_ceil(2) + 1,
            (None, None) => 1,
        };
        (name.len() + value) as u64
    });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn item(owner: &str, due: Option<u32>, bytes: usize) -> Value {
        let mut item = json!({
            "id": {"S": "1"}, "owner": {"S": owner}, "created": {"S": "0"}, "record": {"S": "x".repeat(bytes)},
        });
        if let Some(due) = due {
            item["due_shard"] = json!({"S": "w01"});
            item["due"] = json!({"N": due.to_string()});
        }
        item
    }

    /// The write units of puts, one after the other.
    fn units(puts: &[Value]) -> Vec<u64> {
        let mut meter = Meter::default();
        let each = puts.iter().map(|item| {
            let before = meter.bill.write_units;
            meter.json("api", "dynamodb:PutItem", &json!({"Item": item}), &json!({}));
            meter.bill.write_units - before
        });
        each.collect()
    }

    #[test]
    fn an_index_costs_when_its_keys_change() {
        let puts = [
            item("ann", Some(7), 500),
            item("ann", Some(7), 1500),
            item("ann", Some(8), 1500),
            item("ann", None, 10),
        ];
        // Two new entries; none; one deleted and one added; one deleted, and the old size counts.
        assert_eq!(units(&puts), [1 + 2, 2, 2 + 2, 2 + 1]);
    }

    #[test]
    fn a_failed_condition_is_charged_and_changes_nothing() {
        let mut meter = Meter::default();
        let put = json!({"Item": item("ann", Some(7), 1500)});
        meter.json("api", "dynamodb:PutItem", &put, &json!({"__type": "ConditionalCheckFailedException"}));
        assert_eq!((meter.bill.write_units, meter.items.len()), (2, 0));
        meter.json("api", "dynamodb:PutItem", &put, &json!({}));
        let delete = json!({"Key": {"id": {"S": "1"}}});
        meter.json("api", "dynamodb:DeleteItem", &delete, &json!({"__type": "x"}));
        assert_eq!((meter.bill.write_units, meter.items.len()), (2 + 2 + 2 + 2, 1));
        meter.json("api", "dynamodb:DeleteItem", &delete, &json!({}));
        assert_eq!((meter.bill.write_units, meter.items.len()), (8 + 2 + 2, 0));
    }

    #[test]
    fn putting_off_moves_the_index() {
        let mut meter = Meter::default();
        let put = json!({"Item": item("ann", Some(7), 1500)});
        meter.json("api", "dynamodb:PutItem", &put, &json!({}));
        let before = meter.bill.write_units;
        let update = json!({"Key": {"id": {"S": "1"}}, "ExpressionAttributeValues": {":until": {"N": "9"}}});
        meter.json("api", "dynamodb:UpdateItem", &update, &json!({}));
        assert_eq!(meter.bill.write_units - before, 2 + 2);
    }

    #[test]
    fn reads_are_charged_by_size_and_consistency() {
        let mut meter = Meter::default();
        let get = |consistent: bool| json!({"ConsistentRead": consistent});
        meter.json("api", "dynamodb:GetItem", &get(true), &json!({"Item": item("ann", None, 5000)}));
        assert_eq!(meter.bill.half_read_units, 4);
        meter.json("api", "dynamodb:GetItem", &get(false), &json!({}));
        assert_eq!(meter.bill.half_read_units, 5);
        meter.json(
            "api",
            "dynamodb:Query",
            &json!({}),
            &json!({"Items": [item("a", None, 10), item("a", None, 10)]}),
        );
        assert_eq!(meter.bill.half_read_units, 6);
    }

    #[test]
    fn requests_to_s3_have_two_classes() {
        let mut meter = Meter::default();
        for (action, method) in [
            ("s3:PutObject", "PUT"),
            ("s3:PutObject", "POST"),
            ("s3:ListBucketVersions", "GET"),
            ("s3:ListMultipartUploadParts", "GET"),
            ("s3:ListBucket", "HEAD"),
            ("s3:GetObject", "GET"),
            ("s3:DeleteObject", "DELETE"),
        ] {
            meter.s3("api", action, method);
        }
        assert_eq!((meter.bill.s3_put_class, meter.bill.s3_get_class), (4, 2));
        assert_eq!(meter.bill.requests[&("api".to_owned(), "s3:PutObject".to_owned())], 2);
    }
}
