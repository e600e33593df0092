//! Bodies of requests and responses as an event carries them: JSON, whatever the encoding was, without managed fields
//! where the policy says so (k8s.io/apiserver `pkg/audit/request.go`).
//!
//! What cannot be read is left out; auditing refuses no request.

use crate::api::codec;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use schema::yaml::from_yaml;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::io::Read as _;

/// More than any body may have, so that what is packed small does not grow without bound.
const LARGEST: u64 = 64 * 1024 * 1024;

/// The JSON of a body; none when it is no object.
pub fn json(headers: &HeaderMap, body: &Bytes) -> Option<Bytes> {
    let media = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("application/json");
    let body = if headers.get(CONTENT_ENCODING).is_some_and(|v| v == "gzip") {
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).take(LARGEST).read_to_end(&mut unpacked).ok()?;
        unpacked.into()
    } else {
        body.clone()
    };
    let json: Bytes = if media.contains("protobuf") {
        codec::from_protobuf(&body).ok()?.into()
    } else if media.contains("yaml") {
        from_yaml(&body).ok()?.0.to_string().into()
    } else {
        body
    };
    json.first().is_some_and(|first| matches!(first, b'{' | b'[')).then_some(json)
}

/// The same as it stands in an event.
pub fn raw(json: &Bytes, omit_managed_fields: bool) -> Option<Box<RawValue>> {
    if omit_managed_fields && has_managed_fields(json) {
        let mut tree: Value = serde_json::from_slice(json).ok()?;
        forget_managed_fields(&mut tree);
        for list in ["items", "rows"] {
            for item in tree.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                forget_managed_fields(item);
                if let Some(object) = item.get_mut("object") {
                    forget_managed_fields(object);
                }
            }
        }
        return serde_json::value::to_raw_value(&tree).ok();
    }
    RawValue::from_string(String::from_utf8(json.to_vec()).ok()?).ok()
}

fn has_managed_fields(json: &[u8]) -> bool {
    json.windows(b"managedFields".len()).any(|window| window == b"managedFields")
}

fn forget_managed_fields(object: &mut Value) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("managedFields");
    }
}

/// What names an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Named {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
}

/// The names in the metadata of an object.
pub fn named(json: &[u8]) -> Named {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Head {
        metadata: Named,
    }
    serde_json::from_slice::<Head>(json).map(|head| head.metadata).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(media: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, media.parse().unwrap())])
    }

    #[test]
    fn bodies_become_json() {
        let object = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"}}"#;
        let kind = apimachinery::GroupVersionKind::new("", "v1", "ConfigMap");
        let protobuf = codec::to_protobuf(&kind, object.as_bytes()).unwrap();
        for (media, body) in [
            ("application/json", Bytes::from(object)),
            ("application/yaml", Bytes::from("kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: a\n")),
            ("application/vnd.kubernetes.protobuf", protobuf),
        ] {
            let json = json(&of(media), &body).unwrap();
            assert_eq!(named(&json).name, "a", "{media}");
            assert_eq!(serde_json::from_slice::<Value>(&json).unwrap()["kind"], "ConfigMap", "{media}");
        }
        assert_eq!(json(&of("text/plain"), &Bytes::from("ok")), None);
    }

    #[test]
    fn managed_fields_are_left_out_of_objects_lists_and_tables() {
        let object = r#"{"metadata":{"name":"a","managedFields":[{}]}}"#;
        let rows = format!(r#"{{"rows":[{{"cells":[],"object":{object}}}]}}"#);
        for (json, expected) in [
            (object.to_owned(), r#"{"metadata":{"name":"a"}}"#.to_owned()),
            (format!(r#"{{"items":[{object}]}}"#), r#"{"items":[{"metadata":{"name":"a"}}]}"#.to_owned()),
            (rows, r#"{"rows":[{"cells":[],"object":{"metadata":{"name":"a"}}}]}"#.to_owned()),
        ] {
            assert_eq!(raw(&json.clone().into(), true).unwrap().get(), expected);
            assert_eq!(raw(&json.clone().into(), false).unwrap().get(), json);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(body: Vec<u8>, media in "application/(json|yaml|vnd[.]kubernetes[.]protobuf)", packed: bool) {
            let mut headers = of(&media);
            if packed {
                headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
            }
            if let Some(json) = json(&headers, &body.into()) {
                let _ = (raw(&json, true), named(&json));
            }
        }
    }
}
