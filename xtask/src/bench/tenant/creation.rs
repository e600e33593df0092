//! One tenant from its creation to its first pod, and the same pod on the host.

use crate::bench::figure::median;
use crate::bench::process::{Ticks, find};
use crate::bench::timeline::{Stage, Timeline};
use crate::host::Cluster;
use crate::shell::{quiet, read, succeeds};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fmt;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The host namespace of everything that is made here; it is removed with what is in it.
pub const NAMESPACE: &str = "coracle-bench";

const PATIENCE: Duration = Duration::from_mins(1);
/// The pod that is timed, in the tenant and on the host.
const POD: &str = "probe";
const IMAGE: &str = "registry.k8s.io/e2e-test-images/agnhost:2.66.1";

/// What happens on the way to Ready, in the order in which it usually does.
const STEPS: [&str; 6] = ["pod made", "pod scheduled", "process started", "first report", "pod Running", "Ready"];

/// The times of one tenant.
pub struct Creation {
    /// From the creation of the TenantCluster to its condition Ready.
    pub ready: Duration,
    /// From the creation of the TenantCluster to the first pod's phase Running, seen in the tenant.
    pub first_pod: Duration,
    /// From the creation of that pod to Running.
    pub pod: Duration,
    /// The same for such a pod on the host.
    pub host_pod: Duration,
    /// Since the creation of the TenantCluster: [`STEPS`], as far as they were seen.
    steps: [Option<Duration>; STEPS.len()],
}

impl fmt::Display for Creation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [ready, first, pod, host] =
            [self.ready, self.first_pod, self.pod, self.host_pod].map(|time| time.as_secs_f64());
        write!(
            f,
            "Ready after {ready:.2} s, first pod Running after {first:.2} s, {pod:.2} s from its creation (host {host:.2} s)"
        )
    }
}

/// Where the time to Ready goes: the medians of the steps.
pub fn steps(creations: &[Creation]) -> String {
    let step = |index: usize| {
        let times: Vec<Duration> = creations.iter().filter_map(|creation| creation.steps[index]).collect();
        (!times.is_empty()).then(|| format!("{} {:.2} s", STEPS[index], median(times)))
    };
    format!("since create: {}", (0..STEPS.len()).filter_map(step).collect::<Vec<_>>().join(", "))
}

/// Makes tenants in a namespace of its own, which goes with it.
pub struct Tenants<'a> {
    cluster: &'a Cluster,
    folder: &'a Path,
    ticks: Ticks,
    host: Timeline,
}

impl<'a> Tenants<'a> {
    pub fn new(cluster: &'a Cluster, folder: &'a Path, ticks: Ticks) -> Result<Tenants<'a>> {
        // Left by a bench that was interrupted.
        remove_namespace(cluster)?;
        quiet(&mut cluster.kubectl(["create", "namespace", NAMESPACE]))?;
        let paths = [tenants(), pods(NAMESPACE), format!("/api/v1/namespaces/{NAMESPACE}/configmaps")];
        let watch = Timeline::watch(|path| cluster.kubectl(["get", "--raw", path]), &paths.each_ref().map(|p| &**p));
        match watch {
            Ok(host) => Ok(Tenants { cluster, folder, ticks, host }),
            Err(error) => {
                remove_namespace(cluster)?;
                Err(error)
            }
        }
    }

    /// Makes a tenant and its first pod, which stays.
    pub fn create(&mut self, name: &str) -> Result<Creation> {
        let metadata = json!({"name": name, "namespace": NAMESPACE});
        let tenant = json!({"apiVersion": "coracle.dev/v1alpha1", "kind": "TenantCluster", "metadata": metadata});
        let file = self.write("tenant.json", &tenant)?;
        quiet(&mut self.cluster.kubectl(["create", "--raw", &tenants(), "-f", &file]))?;
        let created = self.host.until("TenantCluster", name, Stage::Exists, PATIENCE)?;

        // The kubeconfig is written before the pod is made; reading it is no part of what is timed.
        let pod = format!("{name}-0");
        self.host.until("Pod", &pod, Stage::Exists, PATIENCE)?;
        let inside = self.connect(name)?;
        let ready = self.host.until("TenantCluster", name, Stage::Ready, PATIENCE);
        let ready = ready.with_context(|| self.described(name))?;
        let path = pods("default");
        let mut timeline = inside.watch(&[&path])?;
        inside.create(&path, &self.write("pod.json", &probe())?)?;
        let running = timeline.until("Pod", POD, Stage::Running, PATIENCE)?;
        let begun = timeline.until("Pod", POD, Stage::Exists, PATIENCE)?;

        self.host.until("Pod", &pod, Stage::Running, PATIENCE)?;
        let at = |stage| self.host.at("Pod", &pod, stage);
        let process = Some(self.ticks.birth(process_of(name)?)?);
        let report = self.host.at("ConfigMap", &format!("{name}-status"), Stage::Exists);
        let steps = [at(Stage::Exists), at(Stage::Scheduled), process, report, at(Stage::Running), Some(ready)];
        let host_pod = self.host_pod(&format!("{POD}-{name}"))?;
        Ok(Creation {
            ready: ready.duration_since(created),
            first_pod: running.duration_since(created),
            pod: running.duration_since(begun),
            host_pod,
            steps: steps.map(|moment| moment.map(|moment| moment.duration_since(created))),
        })
    }

    /// Removes a tenant and waits until it is gone, so that the next one has the machine for itself.
    pub fn delete(&mut self, name: &str) -> Result<()> {
        let resource = format!("tenantcluster/{name}");
        quiet(&mut self.cluster.kubectl(["-n", NAMESPACE, "delete", &resource, "--timeout=60s"]))?;
        self.host.until("Pod", &format!("{name}-0"), Stage::Gone, PATIENCE).map(drop)
    }

    /// Removes the first pod of a tenant.
    pub fn delete_pod(&self, name: &str) -> Result<()> {
        let inside = self.connect(name)?;
        quiet(&mut inside.kubectl(&["-n", "default", "delete", "pod", POD, "--timeout=60s"]))
    }

    /// The pod on the host, which goes again.
    fn host_pod(&mut self, name: &str) -> Result<Duration> {
        let mut pod = probe();
        pod["metadata"]["name"] = name.into();
        let file = self.write("pod.json", &pod)?;
        quiet(&mut self.cluster.kubectl(["create", "--raw", &pods(NAMESPACE), "-f", &file]))?;
        let running = self.host.until("Pod", name, Stage::Running, PATIENCE)?;
        let begun = self.host.until("Pod", name, Stage::Exists, PATIENCE)?;
        quiet(&mut self.cluster.kubectl(["-n", NAMESPACE, "delete", "pod", name, "--timeout=60s"]))?;
        Ok(running.duration_since(begun))
    }

    /// Through the ClusterIP, to which this machine has a route, and not by the name, which it cannot resolve.
    fn connect(&self, name: &str) -> Result<Inside> {
        let field = |resource: &str, output: &str| {
            read(&mut self.cluster.kubectl(["-n", NAMESPACE, "get", resource, "-o", output]))
        };
        let address = field(&format!("service/{name}"), "jsonpath={.spec.clusterIP}")?;
        let secret = format!("secret/{name}-kubeconfig");
        let kubeconfig = self.folder.join(format!("{name}.kubeconfig"));
        fs::write(&kubeconfig, field(&secret, "go-template={{.data.value | base64decode}}")?)?;
        Ok(Inside { cluster: Cluster { kubeconfig, host: None }, server: format!("--server=https://{address}:443") })
    }

    fn write(&self, name: &str, object: &Value) -> Result<String> {
        let file = self.folder.join(name);
        fs::write(&file, object.to_string()).with_context(|| format!("writing {}", file.display()))?;
        Ok(file.display().to_string())
    }

    /// What a tenant that does not become Ready says of itself.
    fn described(&self, name: &str) -> String {
        let resource = format!("tenantcluster/{name}");
        read(&mut self.cluster.kubectl(["-n", NAMESPACE, "describe", &resource])).unwrap_or_default()
    }
}

impl Drop for Tenants<'_> {
    fn drop(&mut self) {
        if let Err(error) = remove_namespace(self.cluster) {
            eprintln!("namespace {NAMESPACE} of the host is left: {error:#}");
        }
    }
}

/// The TenantClusters go first: the operator needs the namespace for taking away what belongs to them.
fn remove_namespace(cluster: &Cluster) -> Result<()> {
    if !succeeds(&mut cluster.kubectl(["get", "namespace", NAMESPACE])) {
        return Ok(());
    }
    quiet(&mut cluster.kubectl(["-n", NAMESPACE, "delete", "tenantclusters", "--all", "--timeout=120s"]))?;
    quiet(&mut cluster.kubectl(["delete", "namespace", NAMESPACE, "--timeout=120s"]))
}

/// The API of a tenant.
struct Inside {
    cluster: Cluster,
    server: String,
}

impl Inside {
    fn kubectl(&self, arguments: &[&str]) -> std::process::Command {
        self.cluster.kubectl([&[self.server.as_str()], arguments].concat())
    }

    fn watch(&self, paths: &[&str]) -> Result<Timeline> {
        Timeline::watch(|path| self.kubectl(&["get", "--raw", path]), paths)
    }

    /// Creates an object as soon as it can be: a tenant that is Ready and refuses a pod loses time here.
    fn create(&self, path: &str, file: &str) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while let Err(error) = quiet(&mut self.kubectl(&["create", "--raw", path, "-f", file])) {
            if Instant::now() > end {
                bail!("the tenant is Ready and takes no pod: {error:#}");
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// The process of a running tenant.
pub fn process_of(name: &str) -> Result<u32> {
    let process = find(&["tenant", &format!("--name={name}"), &format!("--namespace={NAMESPACE}")]);
    process.with_context(|| format!("the process of tenant {name} is not on this machine, and cannot be measured"))
}

fn tenants() -> String {
    format!("/apis/coracle.dev/v1alpha1/namespaces/{NAMESPACE}/tenantclusters")
}

fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

fn probe() -> Value {
    let container = json!({"name": "agnhost", "image": IMAGE, "args": ["pause"], "imagePullPolicy": "IfNotPresent"});
    let spec = json!({"containers": [container], "terminationGracePeriodSeconds": 0});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": spec})
}
