//! Attributes that this version does not know, in the form of DynamoDB's JSON (Amazon DynamoDB Developer
//! Guide, "Data type descriptors"): a type and a value, bytes in base64.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

/// The JSON of an attribute; `None` for a type that the SDK does not know.
pub(super) fn to_json(attribute: &AttributeValue) -> Option<Value> {
    let bytes = |blob: &Blob| BASE64.encode(blob.as_ref());
    Some(match attribute {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::B(blob) => json!({ "B": bytes(blob) }),
        AttributeValue::Bool(value) => json!({ "BOOL": value }),
        AttributeValue::Null(value) => json!({ "NULL": value }),
        AttributeValue::Ss(texts) => json!({ "SS": texts }),
        AttributeValue::Ns(numbers) => json!({ "NS": numbers }),
        AttributeValue::Bs(blobs) => json!({ "BS": blobs.iter().map(bytes).collect::<Vec<_>>() }),
        AttributeValue::L(list) => json!({ "L": list.iter().map(to_json).collect::<Option<Vec<_>>>()? }),
        AttributeValue::M(map) => {
            let members = map.iter().map(|(name, value)| Some((name.clone(), to_json(value)?)));
            json!({ "M": members.collect::<Option<Map<_, _>>>()? })
        }
        _ => return None,
    })
}

/// The attribute of such JSON.
pub(super) fn of_json(json: &Value) -> Option<AttributeValue> {
    let (kind, value) = json.as_object()?.iter().next()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let bytes = |value: &Value| BASE64.decode(value.as_str()?).ok().map(Blob::new);
    Some(match kind.as_str() {
        "S" => AttributeValue::S(text(value)?),
        "N" => AttributeValue::N(text(value)?),
        "B" => AttributeValue::B(bytes(value)?),
        "BOOL" => AttributeValue::Bool(value.as_bool()?),
        "NULL" => AttributeValue::Null(value.as_bool()?),
        "SS" => AttributeValue::Ss(value.as_array()?.iter().map(text).collect::<Option<_>>()?),
        "NS" => AttributeValue::Ns(value.as_array()?.iter().map(text).collect::<Option<_>>()?),
        "BS" => AttributeValue::Bs(value.as_array()?.iter().map(bytes).collect::<Option<_>>()?),
        "L" => AttributeValue::L(value.as_array()?.iter().map(of_json).collect::<Option<_>>()?),
        "M" => {
            let members = value.as_object()?.iter();
            let members = members.map(|(name, value)| Some((name.clone(), of_json(value)?)));
            AttributeValue::M(members.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_back() {
        let blob = || Blob::new([0u8, 255]);
        let all = [
            AttributeValue::S("가".to_owned()),
            AttributeValue::N("12345678901234567890.5".to_owned()),
            AttributeValue::B(blob()),
            AttributeValue::Bool(false),
            AttributeValue::Null(true),
            AttributeValue::Ss(vec!["a".to_owned()]),
            AttributeValue::Ns(vec!["1".to_owned()]),
            AttributeValue::Bs(vec![blob()]),
        ];
        let list = AttributeValue::L(all.to_vec());
        let map = AttributeValue::M([("list".to_owned(), list.clone())].into());
        for attribute in all.into_iter().chain([list, map]) {
            assert_eq!(to_json(&attribute).as_ref().and_then(of_json), Some(attribute));
        }
    }
}
