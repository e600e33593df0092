//! Cases of the decoder, checked against what upstream's Go types do with the same bodies.

use super::*;
use crate::types::{kind_of, type_named};
use proptest::prelude::*;
use serde_json::json;

fn deployment(body: &str) -> Result<(Value, Vec<String>), DecodeError> {
    decode(kind_of("apps", "v1", "Deployment"), body.as_bytes(), FieldValidation::Warn)
}

fn pod(body: &str) -> Result<(Value, Vec<String>), DecodeError> {
    decode(kind_of("", "v1", "Pod"), body.as_bytes(), FieldValidation::Warn)
}

#[test]
fn objects_come_out_as_go_writes_them_but_for_empty_lists() {
    let (mut got, warnings) =
        pod(r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","creationTimestamp":null,"labels":{}},
        "spec":{"hostNetwork":false,"nodeName":"","terminationGracePeriodSeconds":0,"tolerations":[],
        "containers":[{"name":"c","resources":{"limits":{"cpu":"0.5","memory":1048576}},
        "ports":[{"containerPort":80}]}],"securityContext":null}}"#)
        .expect("valid");
    assert_eq!(warnings, Vec::<String>::new());
    let want = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "status": {},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "c", "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "500m", "memory": "1048576"}},
            }],
        },
    });
    assert_eq!((&got["metadata"]["labels"], &got["spec"]["tolerations"]), (&json!({}), &json!([])));
    crate::empties::omit(kind_of("", "v1", "Pod").expect("a kind"), &mut got);
    assert_eq!(got, want);
}

#[test]
fn plain_members_without_omitempty_are_written_out() {
    let (got, _) =
        decode(kind_of("rbac.authorization.k8s.io", "v1", "Role"), b"{}", FieldValidation::Warn).expect("valid");
    assert_eq!(got, json!({"metadata": {}, "rules": null}));
    let (got, _) = deployment(r#"{"spec":{"template":{"metadata":{"creationTimestamp":null}}}}"#).expect("valid");
    let template = json!({"metadata": {}, "spec": {"containers": null}});
    assert_eq!(got["spec"], json!({"selector": null, "strategy": {}, "template": template}));
}

#[test]
fn strict_errors_carry_upstreams_paths() {
    let (_, warnings) = deployment(
        r#"{"foo":1,"spec":{"bar":2,"replicas":1,"replicas":2,"Paused":true,
        "template":{"spec":{"containers":[{"name":"a"},{"name":"b","baz":{},"env":[{"name":"x","nope":1}]}]}},
        "selector":{"matchLabels":{"a":"b","a":"c"}}}}"#,
    )
    .expect("lenient");
    assert_eq!(
        warnings,
        [
            r#"unknown field "foo""#,
            r#"unknown field "spec.bar""#,
            r#"duplicate field "spec.replicas""#,
            r#"unknown field "spec.Paused""#,
            r#"unknown field "spec.template.spec.containers[1].baz""#,
            r#"unknown field "spec.template.spec.containers[1].env[0].nope""#,
            r#"duplicate field "spec.selector.matchLabels.a""#,
        ]
    );
    let strict = decode(kind_of("apps", "v1", "Deployment"), br#"{"a":1,"b":2}"#, FieldValidation::Strict);
    let text = strict.map_err(|error| error.to_string());
    assert_eq!(text, Err(r#"strict decoding error: unknown field "a", unknown field "b""#.into()));
}

#[test]
fn wrong_types_read_like_upstreams_errors() {
    let cases = [
        (
            r#"{"spec":{"replicas":"3"}}"#,
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            r#"{"spec":{"replicas":1.5}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            r#"{"spec":{"replicas":3000000000}}"#,
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            r#"{"metadata":{"labels":{"a":1}}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            r#"{"metadata":{"labels":[]}}"#,
            "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (
            r#"{"metadata":{"creationTimestamp":5}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
        ),
        (
            r#"{"spec":{"template":{"spec":{"containers":{}}}}}"#,
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
        ),
        (
            r#"{"spec":{"template":{"spec":{"restartPolicy":1}}}}"#,
            "json: cannot unmarshal number into Go struct field PodSpec.spec.template.spec.restartPolicy of type v1.RestartPolicy",
        ),
        (
            r#"{"spec":{"template":{"spec":{"volumes":[{"emptyDir":[]}]}}}}"#,
            "json: cannot unmarshal array into Go struct field Volume.spec.template.spec.volumes.VolumeSource.emptyDir of type v1.EmptyDirVolumeSource",
        ),
        (
            r#"{"spec":[]}"#,
            "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec",
        ),
        ("[]", "json: cannot unmarshal array into Go value of type v1.Deployment"),
        (
            r#"{"spec":{"strategy":{"rollingUpdate":{"maxSurge":true}}}}"#,
            "json: cannot unmarshal bool into Go struct field RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge of type int32",
        ),
        (
            r#"{"spec":{"template":{"spec":{"overhead":{"cpu":"x"}}}}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (r#"{"a""#, "unexpected end of JSON input"),
    ];
    for (body, want) in cases {
        assert_eq!(deployment(body).map_err(|error| error.to_string()), Err(want.into()), "{body}");
    }
}

#[test]
fn values_with_their_own_form_are_made_canonical() {
    let lease = decode(
        kind_of("coordination.k8s.io", "v1", "Lease"),
        br#"{"metadata":{"creationTimestamp":"2024-01-01T02:00:00.9+02:00"},"spec":{"renewTime":"2024-01-01T00:00:00.123456Z"}}"#,
        FieldValidation::Warn,
    );
    let (lease, _) = lease.expect("valid");
    assert_eq!(lease["metadata"]["creationTimestamp"], "2024-01-01T00:00:00Z");
    assert_eq!(lease["spec"]["renewTime"], "2024-01-01T00:00:00.123456Z");
    let secret = |data: &str| {
        let body = format!(r#"{{"data":{{"k":"{data}"}}}}"#);
        decode(kind_of("", "v1", "Secret"), body.as_bytes(), FieldValidation::Warn).map_err(|error| error.to_string())
    };
    assert_eq!(secret("YQ==\\n").map(|(value, _)| value["data"]["k"].clone()), Ok(json!("YQ==")));
    assert_eq!(secret("a*b=").map(|_| ()), Err("illegal base64 data at input byte 1".into()));
}

#[test]
fn schemas_take_their_short_forms() {
    let schema = type_named("apiextensions.v1.JSONSchemaProps");
    let body = br#"{"additionalProperties":false,"items":{"type":"string"},"default":{"a":1},"maximum":1.50}"#;
    let (value, _) = decode(schema, body, FieldValidation::Strict).expect("valid");
    assert_eq!(
        value,
        json!({"additionalProperties": false, "items": {"type": "string"}, "default": {"a": 1}, "maximum": 1.5})
    );
}

#[test]
fn free_form_objects_keep_everything() {
    let (value, warnings) =
        decode(None, br#"{"spec":{"x":1.0,"y":1e3,"x":2},"z":null}"#, FieldValidation::Warn).expect("valid");
    assert_eq!(value, json!({"spec": {"x": 2, "y": 1000}, "z": null}));
    assert_eq!(warnings, [r#"duplicate field "spec.x""#]);
}

/// What is decoded is stored as text and read again by serde_json, whenever it is changed.
#[test]
fn numbers_do_not_drift() {
    for number in ["66666666666666666666666", "6.666666666666666e22", "0.1234567890123456789", "1.7976931348623157e308"]
    {
        let body = format!(r#"{{"data":{number}}}"#);
        let (value, _) = decode(None, body.as_bytes(), FieldValidation::Warn).expect("valid");
        assert_eq!(value["data"].as_f64(), number.parse().ok());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&value.to_string()).ok(), Some(value));
    }
}

#[test]
fn kind_and_version_are_read_off_the_body() {
    assert_eq!(type_meta(br#"{"kind":"Pod","apiVersion":"v1"}"#), Ok(("v1".into(), "Pod".into())));
    let error = type_meta(b"{]").map_err(|error| error.to_string());
    assert_eq!(error, Err("couldn't get version/kind; json parse error: invalid character ']' looking for beginning of object key string".into()));
}

proptest! {
    #[test]
    fn any_body_ends_and_what_is_accepted_is_stable(body in r#"\{("(spec|metadata|name|labels|replicas|template|data)":(\{\}|\[\]|null|1|"a"|\{"name":"x"\}|\{"spec":\{\}\}),?){0,4}\}"#) {
        let t = kind_of("apps", "v1", "Deployment").expect("Deployment");
        if let Ok((value, _)) = decode(Some(t), body.as_bytes(), FieldValidation::Ignore) {
            let (again, strict) = normalize(t, &value).expect("canonical");
            prop_assert_eq!(again, value);
            prop_assert_eq!(strict, Vec::<String>::new());
        }
    }
}
