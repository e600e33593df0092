//! Two tenants side by side know nothing of each other, and a deleted one leaves nothing on the host.

use anyhow::{Result, ensure};
use e2e::snapshot::snapshot;
use e2e::{AGNHOST, Cluster, Tenant, eventually};
use std::collections::BTreeSet;

/// The same names in both tenants; only the answer differs.
fn populate(tenant: &Tenant) -> Result<()> {
    let image = format!("--image={AGNHOST}");
    let arguments = ["run", "web", &image, "--port=8080", "--expose", "--", "netexec", "--http-port=8080"];
    tenant.run("kubectl", &arguments)?;
    tenant.kubectl(&format!("create configmap who --from-literal=tenant={}", tenant.name))?;
    tenant.kubectl(&format!("run probe --image={AGNHOST} --command -- sleep 3600"))?;
    tenant.kubectl("wait --for=condition=Ready pod/web pod/probe --timeout=90s")?;
    Ok(())
}

#[test]
#[ignore = "needs a host: cargo xtask test"]
fn tenants_do_not_see_each_other_and_leave_nothing_behind() -> Result<()> {
    let host = Cluster::host()?;
    let before = snapshot(&host)?;
    let (red, blue) = (Tenant::create("red")?, Tenant::create("blue")?);
    for tenant in [&red, &blue] {
        populate(tenant)?;
    }
    for (tenant, other) in [(&red, &blue), (&blue, &red)] {
        let who = tenant.kubectl("get configmap who -o jsonpath={.data.tenant}")?;
        ensure!(who == tenant.name, "{} reads the ConfigMap of {who}", tenant.name);
        let pods = tenant.kubectl("get pods -A -o name")?;
        ensure!(pods.lines().filter(|pod| *pod == "pod/web").count() == 1, "{} sees {pods}", tenant.name);
        let own = tenant.kubectl("get service web -o jsonpath={.spec.clusterIP}")?;
        let resolved = tenant.shell("probe", "nslookup web.default.svc.cluster.local")?;
        ensure!(resolved.contains(&own), "web resolves to {resolved}, not to {own}");
        let foreign = other.kubectl("get service web -o jsonpath={.spec.clusterIP}")?;
        ensure!(!resolved.contains(&foreign), "web resolves to the other tenant's {foreign}");
    }
    let (red_namespace, blue_namespace) = (red.namespace.clone(), blue.namespace.clone());
    red.delete()?;
    ensure!(blue.shell("probe", "curl -sS -m 5 http://web:8080/hostname")? == "web", "the other tenant suffered");
    blue.delete()?;
    let mut left = BTreeSet::new();
    let gone = eventually("the host is as it was", 60, || {
        left = snapshot(&host)?.difference(&before).cloned().collect();
        // What runs beside the tests may come, but nothing of the two.
        left.retain(|object| {
            object.contains(&red_namespace) || object.contains(&blue_namespace) || object.contains("coracle.dev")
        });
        Ok(left.is_empty())
    });
    ensure!(gone.is_ok(), "left on the host: {left:?}");
    Ok(())
}
