//! Measures what turning one object into protobuf and back costs, and one canonical JSON text read as an index:
//! `cargo run --profile quick -p schema --example codec -- [times]`.

use schema::codec::{json_to_protobuf, protobuf_to_json};
use schema::json::Tape;
use std::hint::black_box;
use std::time::Instant;

const SECRET: &str = concat!(
    r#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"object-17","namespace":"small","#,
    r#""uid":"7f8c5f5e-8a6a-4a3c-9d0e-0d6a52f4c1aa","resourceVersion":"4711","creationTimestamp":"2026-01-01T00:00:00Z","#,
    r#""labels":{"app":"load","number":"17"},"managedFields":[{"manager":"load","operation":"Update","apiVersion":"v1","#,
    r#""time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:data":{".":{},"f:value":{}},"#,
    r#""f:metadata":{"f:labels":{".":{},"f:app":{},"f:number":{}}},"f:type":{}}}]},"data":{"value":""#
);

const POD: &str = concat!(
    r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-0","namespace":"default","uid":"7f8c5f5e-8a6a-4a3c-9d0e-0d6a52f4c1aa","#,
    r#""resourceVersion":"9","creationTimestamp":"2026-01-01T00:00:00Z","labels":{"app":"web"}},"spec":{"volumes":[{"name":"token","#,
    r#""projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},{"configMap":{"name":"kube-root-ca.crt","#,
    r#""items":[{"key":"ca.crt","path":"ca.crt"}]}}],"defaultMode":420}}],"containers":[{"name":"web","image":"nginx:1","#,
    r#""ports":[{"containerPort":80,"protocol":"TCP"}],"resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"100m","memory":"64Mi"}},"#,
    r#""volumeMounts":[{"name":"token","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}],"#,
    r#""terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"}],"#,
    r#""restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"default","#,
    r#""serviceAccount":"default","securityContext":{},"schedulerName":"default-scheduler","tolerations":[{"key":"node.kubernetes.io/not-ready","#,
    r#""operator":"Exists","effect":"NoExecute","tolerationSeconds":300}],"priority":0,"enableServiceLinks":true,"#,
    r#""preemptionPolicy":"PreemptLowerPriority"},"status":{"phase":"Pending","qosClass":"Burstable"}}"#
);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let times: u32 = std::env::args().nth(1).map_or(Ok(20_000), |text| text.parse())?;
    let secret = format!(r#"{SECRET}{}"}},"type":"Opaque"}}"#, "QUJD".repeat(200));
    for (kind, text) in [("Secret", secret.as_str()), ("Pod", POD)] {
        let t = schema::kind_of("", "v1", kind).ok_or("a kind of the core group")?;
        let wire = json_to_protobuf(t, text.as_bytes())?;
        let each = |name: &str, work: &dyn Fn()| {
            let start = Instant::now();
            (0..times).for_each(|_| work());
            println!("{kind} of {} bytes, {name}: {:?}", text.len(), start.elapsed() / times);
        };
        each("index", &|| drop(black_box(Tape::parse(black_box(text.as_bytes())))));
        each("to protobuf", &|| drop(black_box(json_to_protobuf(t, black_box(text.as_bytes())))));
        each("to JSON", &|| drop(black_box(protobuf_to_json(t, black_box(&wire)))));
    }
    Ok(())
}
