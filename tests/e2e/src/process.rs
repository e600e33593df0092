//! The processes of a pod, where the pod's node is this very machine, as with the local host.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Sends SIGKILL to the program of this name in a pod. `false` when the pod's processes are not on this machine.
pub fn kill(pod_uid: &str, program: &str) -> Result<bool> {
    let mut killed = false;
    for entry in fs::read_dir("/proc").context("no /proc")? {
        let path = entry?.path();
        if !belongs(&path, pod_uid) || fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() != program) {
            continue;
        }
        let id = path.file_name().and_then(|id| id.to_str()).unwrap_or_default();
        let status = Command::new("kill").args(["-9", id]).status().context("cannot run kill")?;
        ensure!(status.success(), "kill -9 {id}: {status}");
        killed = true;
    }
    Ok(killed)
}

/// Whether a process is in a control group of the pod. The systemd driver writes the uid with underscores.
fn belongs(process: &Path, pod_uid: &str) -> bool {
    let groups = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
    groups.contains(&format!("pod{pod_uid}")) || groups.contains(&format!("pod{}", pod_uid.replace('-', "_")))
}
