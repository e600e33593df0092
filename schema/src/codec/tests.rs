//! Objects in both directions, by hand, and hostile bytes of every sort. Upstream's own fixtures are `tests/golden.rs`.

use super::*;
use crate::types::{Type, kind_of, type_named};
use proptest::prelude::*;

fn named(name: &str) -> &'static Type {
    type_named(name).expect("known type")
}

fn round_trip(name: &str, json: &str) -> String {
    let message = json_to_protobuf(named(name), json.as_bytes()).expect("encoded");
    String::from_utf8(protobuf_to_json(named(name), &message).expect("decoded")).expect("UTF-8")
}

#[test]
fn values_survive_both_directions() {
    let cases = [
        ("core.v1.ServicePort", r#"{"port":80,"targetPort":"http"}"#),
        ("core.v1.ServicePort", r#"{"port":80,"targetPort":""}"#),
        ("core.v1.Secret", r#"{"metadata":{},"data":{"a":"AQI=","b":""}}"#),
        ("core.v1.Secret", r#"{"metadata":{},"data":{"a":null}}"#),
        (
            "core.v1.Container",
            r#"{"name":"<&>","args":["é","\u0001"],"resources":{"limits":{"cpu":"1","memory":"1Gi"}}}"#,
        ),
        ("authentication.v1.UserInfo", r#"{"username":"u","extra":{"a":["1","2"],"b":[]}}"#),
        ("meta.v1.DeleteOptions", r#"{"gracePeriodSeconds":0,"preconditions":{}}"#),
        ("coordination.v1.LeaseSpec", r#"{"renewTime":"2024-01-01T00:00:00.000001Z","leaseTransitions":-1}"#),
        (
            "apiextensions.v1.JSONSchemaProps",
            r#"{"default":{"a":[1,null]},"items":{"type":"string"},"additionalProperties":false}"#,
        ),
        (
            "apiextensions.v1.JSONSchemaProps",
            r#"{"maximum":1.5,"items":[{},{}],"dependencies":{"a":["b"],"c":{}},"additionalItems":true}"#,
        ),
    ];
    for (name, json) in cases {
        let json = json.replace('<', "\\u003c").replace('&', "\\u0026").replace('>', "\\u003e");
        let want = if json.contains("\"b\":[]") { json.replace("\"b\":[]", "\"b\":null") } else { json.clone() };
        assert_eq!(round_trip(name, &json), want);
    }
}

#[test]
fn plain_zero_values_are_written_and_unknown_members_dropped() {
    let message = json_to_protobuf(named("core.v1.LocalObjectReference"), br#"{"name":null,"x":{"y":[1]}}"#);
    assert_eq!(message.expect("encoded"), [0x0a, 0]);
    let pod = br#"{"kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[]}}"#;
    let partial = json_to_protobuf(named("meta.v1.PartialObjectMetadata"), pod).expect("encoded");
    let json = protobuf_to_json(named("meta.v1.PartialObjectMetadata"), &partial).expect("decoded");
    assert_eq!(json, br#"{"metadata":{"name":"a"}}"#);
}

#[test]
fn pieces_of_a_message_merge_and_the_last_scalar_wins() {
    // Two pieces of the metadata: the name in one, the namespace in the other, the name again.
    let message = [0x0a, 3, 0x0a, 1, b'a', 0x0a, 6, 0x1a, 1, b'n', 0x0a, 1, b'b'];
    let json = protobuf_to_json(named("meta.v1.PartialObjectMetadata"), &message).expect("decoded");
    assert_eq!(json, br#"{"metadata":{"name":"b","namespace":"n"}}"#);
}

#[test]
fn lists_and_watch_frames_are_assembled() {
    let item = named("core.v1.ConfigMap");
    let mut list = ListWriter::new(item, 10);
    for name in ["b", "a"] {
        list.push_front(format!(r#"{{"kind":"ConfigMap","metadata":{{"name":"{name}"}}}}"#).as_bytes()).expect("item");
    }
    let bytes = list.finish("v1", "ConfigMapList", br#"{"resourceVersion":"7"}"#).expect("list");
    assert!(ListWriter::new(item, 0).push_front(b"[]").is_err(), "an item that is no object");
    let want = r#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]}"#;
    assert_eq!(String::from_utf8(envelope_to_json(&bytes).expect("decoded")).expect("UTF-8"), want);
    let whole = json_to_envelope(
        kind_of("", "v1", "ConfigMapList").expect("list kind"),
        "v1",
        "ConfigMapList",
        want.as_bytes(),
    );
    assert_eq!(bytes, whole.expect("encoded"));

    let frame = watch_frame("ADDED", &bytes);
    assert_eq!(frame[..4], u32::try_from(frame.len() - 4).expect("small").to_be_bytes());
    assert_eq!(frame[4..11], [0x0a, 5, b'A', b'D', b'D', b'E', b'D']);
    assert!(frame.ends_with(&bytes));
}

#[test]
fn broken_objects_are_refused() {
    let cases: &[(&str, &[u8])] = &[
        ("text that is not UTF-8", &[0x0a, 3, 0x0a, 1, 0xff]),
        ("a length past the end", &[0x0a, 9, 0x0a]),
        ("a message where a number stands", &[0x08, 1]),
        ("an impossible time", &[0x0a, 12, 0x42, 10, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
    ];
    for (what, message) in cases {
        assert!(protobuf_to_json(named("meta.v1.PartialObjectMetadata"), message).is_err(), "{what}");
    }
    assert!(matches!(Envelope::parse(b"{}"), Err(CodecError::Envelope(_))));
    assert!(matches!(envelope_to_json(&seal("x/v1", "Y", b"")), Err(CodecError::UnknownKind { .. })));
    assert!(matches!(protobuf_to_json(named("meta.v1.Table"), b""), Err(CodecError::NotInProtobuf(_))));
    let wrong = json_to_protobuf(named("core.v1.Pod"), br#"{"spec":{"hostNetwork":"yes"}}"#);
    assert_eq!(wrong.map_err(|error| error.to_string()), Err(r#"hostNetwork: "yes" is no boolean"#.into()));
}

#[test]
fn deep_messages_are_refused_before_the_stack_ends() {
    let schema = named("apiextensions.v1.JSONSchemaProps");
    let not = schema.field("not").map(crate::types::Field::number).expect("not");
    let mut message = Vec::new();
    for _ in 0..5_000 {
        let mut outer = wire::Writer::with_capacity(message.len() + 8);
        outer.bytes_field(not, &message);
        message = outer.into_bytes();
    }
    assert!(matches!(protobuf_to_json(schema, &message), Err(CodecError::TooDeep)));
    let json = format!("{}{}", r#"{"not":"#.repeat(5_000), "}".repeat(5_000));
    assert!(matches!(json_to_protobuf(schema, json.as_bytes()), Err(CodecError::Syntax(_))));
}

proptest! {
    #[test]
    fn damaged_messages_end_in_a_result(at in 0usize..4096, byte: u8, cut in 0usize..4096) {
        let json = br#"{"metadata":{"name":"n","labels":{"a":"b"},"creationTimestamp":"2024-01-01T00:00:00Z"},"spec":{"containers":[{"name":"c","ports":[{"containerPort":1}],"resources":{"limits":{"cpu":"1"}},"livenessProbe":{"httpGet":{"port":"x"}}}],"tolerations":[{"key":"k","tolerationSeconds":5}]}}"#;
        let pod = named("core.v1.Pod");
        let mut message = json_to_protobuf(pod, json).expect("encoded");
        let length = message.len();
        message[at % length] = byte;
        message.truncate(length - cut % length);
        if let Ok(json) = protobuf_to_json(pod, &message) {
            prop_assert!(crate::json::Tape::parse(&json).is_ok(), "{}", String::from_utf8_lossy(&json));
            prop_assert!(json_to_protobuf(pod, &json).is_ok());
        }
    }

    #[test]
    fn any_bytes_end_in_a_result(bytes in proptest::collection::vec(any::<u8>(), 0..300), which in 0usize..10_000) {
        let t = &crate::types::types()[which % crate::types::types().len()];
        let _ = (protobuf_to_json(t, &bytes), json_to_protobuf(t, &bytes), envelope_to_json(&bytes));
    }
}
