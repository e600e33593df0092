//! The tenant's process is killed, its pod deleted, host copies removed by hand, all under a stream of writes: nothing
//! acknowledged is lost, no pod of the tenant notices, and the host shows again what it should.

use anyhow::{Context, Result, ensure};
use e2e::{AGNHOST, BUSYBOX, Tenant, Writers, eventually, process};
use serde_json::Value;

/// Writers at the same time.
const WRITERS: usize = 4;
/// Acknowledged writes between two blows.
const PROGRESS: usize = 40;
/// Seconds in which a removed copy is back.
const SOON: u64 = 30;

/// What befalls the control plane.
#[derive(Clone, Copy, Debug)]
enum Blow {
    /// SIGKILL to the process; the kubelet starts it again in the same pod. From outside of the node's machine the
    /// nearest to it is a forced deletion.
    Kill,
    /// The pod is deleted; the host makes another.
    Delete,
}

fn uid(object: &Value) -> Option<&str> {
    object["metadata"]["uid"].as_str()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Which life of the control plane this is, and whether it is ready.
fn life(tenant: &Tenant) -> Result<(String, bool)> {
    let pod = tenant.host.get(&format!("pod {}-0 -n {}", tenant.name, tenant.namespace))?;
    let container = &pod["status"]["containerStatuses"][0];
    let id = format!("{}/{}", uid(&pod).unwrap_or_default(), container["restartCount"]);
    Ok((id, container["ready"] == true))
}

fn strike(tenant: &Tenant, blow: Blow) -> Result<()> {
    let (pod, namespace) = (format!("{}-0", tenant.name), &tenant.namespace);
    let before = life(tenant)?.0;
    let how = match blow {
        Blow::Kill => {
            let live = tenant.host.get(&format!("pod {pod} -n {namespace}"))?;
            let killed = process::kill(uid(&live).context("the pod has a uid")?, "coracle")?;
            if killed { None } else { Some("--grace-period=0 --force") }
        }
        Blow::Delete => Some("--grace-period=1"),
    };
    if let Some(how) = how {
        tenant.host.kubectl(&format!("-n {namespace} delete pod {pod} --wait=false {how}"))?;
    }
    eventually("the control plane is back", 90, || Ok(life(tenant).is_ok_and(|(id, ready)| ready && id != before)))
}

#[test]
#[ignore = "needs a host: cargo xtask test"]
fn crashes_lose_no_acknowledged_write_and_restart_no_pod() -> Result<()> {
    let tenant = Tenant::create("crash")?;
    for pod in ["survivor", "doomed"] {
        tenant.kubectl(&format!("run {pod} --image={BUSYBOX} -- sleep 3600"))?;
    }
    tenant.kubectl("wait --for=condition=Ready pod/survivor pod/doomed --timeout=60s")?;
    let before = tenant.get("pod survivor")?;
    let copy_before = tenant.host_copy("pod", "default", "survivor")?;

    let writers = Writers::start(&tenant, WRITERS)?;
    for blow in [Blow::Kill, Blow::Delete, Blow::Kill, Blow::Delete] {
        writers.progress(PROGRESS)?;
        strike(&tenant, blow).with_context(|| format!("{blow:?}"))?;
        writers.progress(PROGRESS).with_context(|| format!("after {blow:?}"))?;
    }
    // What the tenant deletes on the verge of a crash does not stay on the host.
    tenant.kubectl("delete pod doomed --grace-period=0 --force --wait=false")?;
    strike(&tenant, Blow::Kill)?;
    writers.progress(PROGRESS)?;
    let count = writers.settle(&tenant)?;
    ensure!(count >= 400, "only {count} writes were acknowledged");
    eventually("the copy of the deleted pod is gone", SOON, || Ok(tenant.host_pods()?.len() == 1))?;

    let after = tenant.get("pod survivor")?;
    ensure!(uid(&before) == uid(&after), "the pod is another");
    let restarts = &after["status"]["containerStatuses"][0]["restartCount"];
    ensure!(restarts == 0, "the pod restarted {restarts} times");
    let copy = tenant.host_copy("pod", "default", "survivor")?;
    ensure!(uid(&copy) == uid(&copy_before), "the host runs another pod");

    // After all that the tenant still follows the host: a pod whose copy is gone is as one deleted on its node.
    tenant.kubectl("create configmap mounted --from-literal=a=b")?;
    tenant.feed("apply -f -", &mounting("late"))?;
    tenant.kubectl("wait --for=condition=Ready pod/late --timeout=60s")?;
    for pod in ["survivor", "late"] {
        let copy = tenant.host_copy("pod", "default", pod)?;
        tenant.host.kubectl(&format!("-n {} delete pod {} --grace-period=1", tenant.namespace, name(&copy)))?;
        eventually("the tenant learns that its pod is gone", 60, || Ok(tenant.get(&format!("pod {pod}")).is_err()))?;
    }
    eventually("what nobody reads any more is off the host", SOON, || {
        Ok(tenant.host_copy("configmap", "default", "mounted").is_err())
    })
}

/// A pod that mounts the ConfigMap `mounted`.
fn mounting(name: &str) -> String {
    format!(
        r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "{name}"}}, "spec": {{
            "containers": [{{"name": "c", "image": "{BUSYBOX}", "command": ["sleep", "3600"],
                "volumeMounts": [{{"name": "m", "mountPath": "/m"}}]}}],
            "volumes": [{{"name": "m", "configMap": {{"name": "mounted"}}}}]}}}}"#
    )
}

#[test]
#[ignore = "needs a host: cargo xtask test"]
fn copies_removed_by_hand_come_back() -> Result<()> {
    let tenant = Tenant::create("hands")?;
    tenant.feed("apply -f -", &include_str!("../manifests/copies.yaml").replace("@AGNHOST@", AGNHOST))?;
    tenant.kubectl("rollout status deployment/web --timeout=90s")?;
    let pod = tenant.get("pods -l app=web")?["items"][0].clone();
    let writers = Writers::start(&tenant, WRITERS)?;
    writers.progress(PROGRESS)?;

    for kind in ["configmaps", "secrets", "services", "endpointslices", "persistentvolumeclaims"] {
        let copies = tenant.host_copies(kind)?;
        ensure!(!copies.is_empty(), "{kind} have no copies");
        for copy in copies {
            let path = format!("{kind} {} -n {}", name(&copy), tenant.namespace);
            tenant.host.kubectl(&format!("delete {path} --wait=false"))?;
            eventually(&format!("{path} is back"), SOON, || {
                let live = tenant.host.get(&path)?;
                let is_new = uid(&live) != uid(&copy) && live["metadata"]["deletionTimestamp"].is_null();
                ensure!(live["spec"]["clusterIP"] == copy["spec"]["clusterIP"], "it has another address");
                ensure!(
                    live["data"].is_null() || kind == "secrets" || live["data"] == copy["data"],
                    "it says another thing"
                );
                Ok(is_new)
            })?;
        }
        writers.progress(PROGRESS)?;
    }
    let same = tenant.get(&format!("pod {}", name(&pod)))?;
    let restarts = &same["status"]["containerStatuses"][0]["restartCount"];
    ensure!(uid(&same) == uid(&pod) && restarts == 0, "the pod suffered: {}", same["status"]);

    // A running pod cannot be taken up again by another host pod: it is gone, and its controller makes a new one.
    let copy = tenant.host_copy("pod", "default", name(&pod))?;
    tenant.host.kubectl(&format!("-n {} delete pod {} --wait=false", tenant.namespace, name(&copy)))?;
    eventually("the Deployment has another pod", 60, || {
        let pods = tenant.list("pods -l app=web")?;
        let ready = |pod: &Value| pod["status"]["containerStatuses"][0]["ready"] == true;
        Ok(pods.len() == 1 && ready(&pods[0]) && uid(&pods[0]) != uid(&pod) && tenant.host_pods()?.len() == 1)
    })?;
    writers.progress(PROGRESS)?;
    writers.settle(&tenant)?;
    Ok(())
}
