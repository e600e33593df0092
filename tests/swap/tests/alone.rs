//! DNS and the syncer as processes of their own, beside API servers that know nothing of them.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::path::{Path, PathBuf};
use swap::api::until;
use swap::components::Side::Ours;
use swap::components::{ControlPlane, Mixture};
use swap::kubelet::Kubelet;
use swap::process::free_port;
use swap::scenario::deployment;
use tokio::net::UdpSocket;
use tokio::time::{Duration, timeout};

const OURS: Mixture = Mixture { apiserver: Ours, controllers: Ours, scheduler: Ours };

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("swap").join(name)
}

/// Asks for the A record of a name and returns the address in the first answer.
async fn ask(server: u16, name: &str) -> Result<String> {
    let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len())?);
        question.extend(label.bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(("127.0.0.1", server)).await?;
    socket.send(&question).await?;
    let mut answer = [0; 512];
    let length = timeout(Duration::from_secs(2), socket.recv(&mut answer)).await??;
    // The address is the end of the only record, and the record that of the message. Questions do not ask for more.
    ensure!(answer[3].trailing_zeros() >= 4, "refused: {:?}", &answer[..12]);
    ensure!(answer[7..12] == [1, 0, 0, 0, 0], "not one record: {:?}", &answer[..12]);
    let address = answer[..length].last_chunk::<4>().context("the answer is too short")?;
    Ok(address.iter().map(u8::to_string).collect::<Vec<_>>().join("."))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs our program: cargo xtask test"]
async fn dns_answers_for_the_services_of_any_api_server() -> Result<()> {
    let mut control_plane = ControlPlane::start(OURS, &folder("dns")).await?;
    let port = free_port()?;
    let listen = format!("127.0.0.1:{port}");
    control_plane
        .add("dns", &[("listen", &listen), ("cluster-domain", "cluster.test"), ("resolv-conf", "/dev/null")])?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]},
    });
    let made = control_plane.api.create("/api/v1/namespaces/default/services", &service).await?;
    until("the service has an address in DNS", 30, async || {
        let address = ask(port, "web.default.svc.cluster.test").await?;
        ensure!(made["spec"]["clusterIP"] == *address, "{address}, not {}", made["spec"]["clusterIP"]);
        Ok(())
    })
    .await?;
    control_plane.all_run()?;
    control_plane.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs our program: cargo xtask test"]
async fn the_syncer_runs_the_pods_of_one_api_server_on_another() -> Result<()> {
    let mut host = ControlPlane::start(OURS, &folder("syncer-host")).await?;
    let _kubelet = Kubelet::start(host.api.clone()).await?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
    host.api.create("/api/v1/namespaces", &namespace).await?;
    let mut tenant = ControlPlane::start(OURS, &folder("syncer-tenant")).await?;
    let host_kubeconfig = host.kubeconfig.display().to_string();
    tenant.add("syncer", &[("name", "demo"), ("namespace", "team"), ("host-kubeconfig", &host_kubeconfig)])?;

    tenant.api.create("/apis/apps/v1/namespaces/default/deployments", &deployment("web", 2, "none.test/app:1")).await?;
    let path = "/apis/apps/v1/namespaces/default/deployments/web";
    until("the tenant's pods run", 60, async || {
        let status = &tenant.api.get(path).await?["status"];
        ensure!(status["availableReplicas"] == 2, "{status}");
        Ok(())
    })
    .await?;
    let copies = "/api/v1/namespaces/team/pods?labelSelector=coracle.dev%2Ftenant%3Ddemo";
    ensure!(host.api.list(copies).await?.len() == 2, "the host has other pods");
    tenant.api.delete(path, &json!({"propagationPolicy": "Background"})).await?;
    until("the host's copies are gone", 60, async || {
        ensure!(host.api.list(copies).await?.is_empty(), "some are left");
        Ok(())
    })
    .await?;
    tenant.all_run()?;
    host.all_run()?;
    tenant.end().await?;
    host.end().await
}
