//! A day with kubectl in a tenant: deploy, expose, look inside, change, roll back, drain, clean up.

use anyhow::{Context, Result, ensure};
use e2e::{AGNHOST, BUSYBOX, Cluster, Tenant, eventually};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

/// A Deployment of three web servers with a Service.
fn web(tenant: &Cluster) -> Result<()> {
    let serve = ["--", "/agnhost", "netexec", "--http-port=8080"];
    let image = format!("--image={AGNHOST}");
    tenant.run("kubectl", &[&["create", "deployment", "web", &image, "--replicas=3"], &serve[..]].concat())?;
    tenant.kubectl("rollout status deployment/web --timeout=90s")?;
    tenant.kubectl("expose deployment/web --port=80 --target-port=8080")?;
    Ok(())
}

/// A pod to look around from.
fn probe(tenant: &Cluster) -> Result<()> {
    tenant.kubectl(&format!("run probe --image={AGNHOST} --command -- sleep 3600"))?;
    tenant.kubectl("wait --for=condition=Ready pod/probe --timeout=60s")?;
    Ok(())
}

fn nodes_of(tenant: &Cluster, selector: &str) -> Result<BTreeSet<String>> {
    let pods = tenant.list(&format!("pods -l {selector}"))?;
    Ok(pods.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str().map(str::to_owned)).collect())
}

#[test]
#[ignore = "needs a host: cargo xtask test"]
fn a_deployment_spreads_and_its_service_answers_by_name() -> Result<()> {
    let tenant = Tenant::create("web")?;
    web(&tenant)?;
    probe(&tenant)?;
    let nodes = tenant.list("nodes")?.len();
    ensure!(nodes_of(&tenant, "app=web")?.len() == nodes.min(3), "the replicas do not spread over {nodes} nodes");
    for name in ["web", "web.default", "web.default.svc.cluster.local"] {
        let answer = tenant.shell("probe", &format!("curl -sS -m 5 http://{name}/hostname"))?;
        ensure!(answer.starts_with("web-"), "{name} answered {answer:?}");
    }
    let addresses = tenant.get("endpointslices -l kubernetes.io/service-name=web")?;
    let endpoints = addresses["items"][0]["endpoints"].as_array().map_or(0, Vec::len);
    ensure!(endpoints == 3, "{endpoints} endpoints");
    tenant.kubectl("scale deployment/web --replicas=1")?;
    eventually("one replica is left", 60, || Ok(tenant.list("pods -l app=web")?.len() == 1))
}

#[test]
#[ignore = "needs a host: cargo xtask test"]
fn logs_exec_cp_and_port_forward_reach_the_container() -> Result<()> {
    let tenant = Tenant::create("inside")?;
    let script = "for i in 1 2 3; do echo line $i; sleep 1; done";
    let image = format!("--image={BUSYBOX}");
    tenant.run("kubectl", &["run", "talker", &image, "--restart=Never", "--", "sh", "-c", script])?;
    tenant.kubectl("wait --for=jsonpath={.status.phase}=Running pod/talker --timeout=60s")?;
    let log = tenant.kubectl("logs -f talker")?;
    ensure!(log == "line 1\nline 2\nline 3\n", "logs -f gave {log:?}");

    probe(&tenant)?;
    // `script` gives kubectl a terminal, which `-t` insists on.
    let terminal =
        tenant.run("script", &["-qec", "kubectl exec -it probe -- sh -c 'test -t 0 && echo a tty'", "/dev/null"])?;
    ensure!(terminal.contains("a tty"), "exec -it gave {terminal:?}");
    let status = tenant.command("kubectl", &["exec", "probe", "--", "sh", "-c", "exit 7"]).status()?;
    ensure!(status.code() == Some(7), "the exit code of a command is {status}");

    let folder = tempfile::tempdir()?;
    let (sent, received) = (folder.path().join("sent"), folder.path().join("received"));
    let bytes: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    fs::write(&sent, &bytes)?;
    tenant.kubectl(&format!("cp {} probe:/tmp/file", sent.display()))?;
    tenant.kubectl(&format!("cp probe:/tmp/file {}", received.display()))?;
    ensure!(fs::read(&received)? == bytes, "a file changed on its way into the container and back");

    web(&tenant)?;
    let mut forward = tenant.command("kubectl", &["port-forward", "deployment/web", ":8080"]);
    let mut forward = forward.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    // Kept until the end: kubectl dies of a closed standard output when it reports a connection.
    let mut output = BufReader::new(forward.stdout.take().context("a pipe")?);
    output.read_line(&mut line)?;
    let answer = (|| {
        let address = line.split_whitespace().nth(2).with_context(|| format!("port-forward said {line:?}"))?;
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /hostname HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, anyhow::Error>(answer)
    })();
    forward.kill()?;
    forward.wait()?;
    drop(output);
    let answer = answer?;
    ensure!(answer.starts_with("HTTP/1.") && answer.contains("web-"), "port-forward gave {answer:?}");
    Ok(())
}

#[test]
#[ignore = "needs a host: cargo xtask test"]
fn rollouts_go_forward_and_back() -> Result<()> {
    let tenant = Tenant::create("rollout")?;
    web(&tenant)?;
    let names = || -> Result<BTreeSet<String>> {
        let pods = tenant.list("pods -l app=web")?;
        Ok(pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect())
    };
    let before = names()?;
    tenant.kubectl("rollout restart deployment/web")?;
    tenant.kubectl("rollout status deployment/web --timeout=90s")?;
    eventually("the first pods are gone", 60, || Ok(names()?.is_disjoint(&before)))?;
    let before = names()?;
    tenant.kubectl("set env deployment/web COLOUR=green")?;
    tenant.kubectl("rollout status deployment/web --timeout=90s")?;
    // `rollout status` does not wait for the pods that are on their way out.
    eventually("the restarted pods are gone", 60, || Ok(names()?.is_disjoint(&before)))?;
    let pod = tenant.kubectl("get pods -l app=web -o jsonpath={.items[0].metadata.name}")?;
    ensure!(tenant.shell(&pod, "echo $COLOUR").is_ok_and(|colour| colour.trim() == "green"), "no new environment");
    tenant.kubectl("rollout undo deployment/web")?;
    tenant.kubectl("rollout status deployment/web --timeout=90s")?;
    let deployment = tenant.get("deployment web")?;
    ensure!(deployment["spec"]["template"]["spec"]["containers"][0]["env"].is_null(), "undo left the environment");
    Ok(())
}

#[test]
#[ignore = "needs a host: cargo xtask test"]
fn a_manifest_of_several_tiers_applies_and_explains_itself() -> Result<()> {
    let tenant = Tenant::create("tiers")?;
    let manifest = include_str!("../manifests/shop.yaml").replace("@AGNHOST@", AGNHOST).replace("@BUSYBOX@", BUSYBOX);
    tenant.feed("apply -f -", &manifest)?;
    for tier in ["front", "back", "store"] {
        tenant.kubectl(&format!("rollout status deployment/{tier} --timeout=120s"))?;
    }
    probe(&tenant)?;
    let answer = tenant.shell("probe", "curl -sS -m 5 http://front/shell?cmd=curl+-s+http://back/hostname")?;
    ensure!(answer.contains("back-"), "the front end does not reach the back end: {answer}");
    let store = tenant.kubectl("get pods -l app=store -o jsonpath={.items[0].metadata.name}")?;
    let seen = tenant.shell(&store, "cat /data/greeting /secret/password; echo $MODE")?;
    ensure!(seen == "hello\ns3cret\nfast\n", "volumes and environment gave {seen:?}");
    let claim = tenant.get("pvc data")?;
    ensure!(claim["status"]["phase"] == "Bound", "the claim is {}", claim["status"]["phase"]);

    let unchanged = tenant.feed("diff -f -", &manifest)?;
    ensure!(unchanged.is_empty(), "diff of what was applied: {unchanged}");
    let again = tenant.feed("apply --server-side --force-conflicts -f -", &manifest)?;
    ensure!(again.lines().all(|line| line.ends_with("serverside-applied")), "{again}");
    let changed = manifest.replace("mode: fast", "mode: slow");
    ensure!(tenant.feed("diff -f -", &changed).is_err(), "diff does not see a change");

    let text = tenant.kubectl("explain deployment.spec.strategy.rollingUpdate.maxSurge")?;
    ensure!(text.contains("FIELD: maxSurge"), "explain gave {text}");
    let text = tenant.kubectl(&format!("describe pod {store}"))?;
    ensure!(text.contains("Scheduled") && text.contains("Started"), "describe shows no events: {text}");

    tenant.kubectl("create namespace short")?;
    tenant.kubectl(&format!("-n short run pause --image={BUSYBOX} -- sleep 3600"))?;
    tenant.kubectl("-n short wait --for=condition=Ready pod/pause --timeout=60s")?;
    tenant.kubectl("delete namespace short --timeout=60s")?;
    ensure!(tenant.kubectl("get namespace short").is_err(), "the namespace is still there");
    Ok(())
}

#[test]
#[ignore = "needs a host: cargo xtask test"]
fn draining_a_node_moves_its_pods() -> Result<()> {
    let tenant = Tenant::create("drain")?;
    web(&tenant)?;
    let nodes = nodes_of(&tenant, "app=web")?;
    let node = nodes.iter().next().context("the pods have nodes")?;
    tenant.kubectl(&format!("drain {node} --ignore-daemonsets --delete-emptydir-data --force --timeout=90s"))?;
    tenant.kubectl("rollout status deployment/web --timeout=90s")?;
    ensure!(!nodes_of(&tenant, "app=web")?.contains(node), "pods are still on {node}");
    let cordoned = tenant.host.get(&format!("node {node}"))?["spec"]["unschedulable"].as_bool().unwrap_or_default();
    ensure!(!cordoned, "the tenant cordoned the host's node");
    tenant.kubectl(&format!("uncordon {node}"))?;
    Ok(())
}
