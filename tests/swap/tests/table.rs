//! The table: which program plays which part. One scenario, and every row must pass it.

use anyhow::{Context, Result};
use std::path::Path;
use swap::components::Side::{Ours, Upstream};
use swap::components::{ControlPlane, Mixture, Side};
use swap::kubelet::Kubelet;
use swap::scenario;

/// Runs the scenario on one mixture. Logs of all components stay in the build folder until the next run.
async fn row(name: &str, apiserver: Side, controllers: Side, scheduler: Side) -> Result<()> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("swap").join(name);
    let mut control_plane = ControlPlane::start(Mixture { apiserver, controllers, scheduler }, &folder).await?;
    let kubelet = Kubelet::start(control_plane.api.clone()).await?;
    let result = scenario::run(&control_plane.api).await;
    drop(kubelet);
    control_plane.all_run()?;
    control_plane.end().await?;
    result.with_context(|| format!("row {name}; logs are in {}", folder.display()))
}

macro_rules! rows {
    ($($name:ident: $apiserver:ident, $controllers:ident, $scheduler:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "needs upstream's programs: cargo xtask test"]
        async fn $name() -> Result<()> {
            row(stringify!($name), $apiserver, $controllers, $scheduler).await
        }
    )*};
}

rows! {
    // row                                    API server  controllers  scheduler
    a_our_controllers_on_upstreams_apiserver: Upstream,   Ours,        Upstream;
    b_our_scheduler_on_upstreams_apiserver:   Upstream,   Upstream,    Ours;
    c_upstreams_controllers_on_our_apiserver: Ours,       Upstream,    Ours;
    d_upstreams_scheduler_on_our_apiserver:   Ours,       Ours,        Upstream;
    e_all_ours:                               Ours,       Ours,        Ours;
    f_all_upstreams:                          Upstream,   Upstream,    Upstream;
}
