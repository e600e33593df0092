//! `swap FOLDER`: one control plane, all ours, with nodes that are nobody's, for as long as the standard input is open.
//!
//! Once it is there, the path of an administrator's kubeconfig is printed.

use anyhow::{Context, Result};
use std::path::Path;
use swap::components::{ControlPlane, Mixture, Side};
use swap::kubelet::Kubelet;

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).context("which folder?")?;
    let ours = Mixture { apiserver: Side::Ours, controllers: Side::Ours, scheduler: Side::Ours };
    let mut control_plane = ControlPlane::start(ours, Path::new(&folder)).await?;
    let kubelet = Kubelet::start(control_plane.api.clone()).await?;
    println!("{}", control_plane.kubeconfig.display());
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    drop(kubelet);
    control_plane.all_run()?;
    control_plane.end().await
}
