//! Which checks each level runs at each version, as one table (k8s.io/pod-security-admission `policy/registry.go`).

use super::pod::{Pod, Violation};
use super::policy::{Level, LevelVersion};
use super::{baseline, restricted};

type CheckPod = fn(Pod<'_>) -> Option<Violation>;

struct Check {
    id: &'static str,
    level: Level,
    /// From which minor version on which function; ascending.
    versions: &'static [(u32, CheckPod)],
    /// The baseline check that this one makes superfluous at its level.
    overrides: &'static str,
}

const fn baseline(id: &'static str, versions: &'static [(u32, CheckPod)]) -> Check {
    Check { id, level: Level::Baseline, versions, overrides: "" }
}

const fn restricted(id: &'static str, overrides: &'static str, versions: &'static [(u32, CheckPod)]) -> Check {
    Check { id, level: Level::Restricted, versions, overrides }
}

/// Baseline first, each level in the order of ids: the order of the reasons in a refusal.
const CHECKS: [Check; 19] = [
    baseline("appArmorProfile", &[(0, baseline::app_armor)]),
    baseline("capabilities_baseline", &[(0, baseline::capabilities)]),
    baseline("hostNamespaces", &[(0, baseline::host_namespaces)]),
    baseline("hostPathVolumes", &[(0, baseline::host_path_volumes)]),
    baseline("hostPorts", &[(0, baseline::host_ports)]),
    baseline("hostProbesAndHostLifecycle", &[(34, baseline::host_probes)]),
    baseline("privileged", &[(0, baseline::privileged)]),
    baseline("procMount", &[(0, baseline::proc_mount), (35, baseline::proc_mount_1_35)]),
    baseline("seLinuxOptions", &[(0, baseline::se_linux), (31, baseline::se_linux_1_31)]),
    baseline("seccompProfile_baseline", &[(0, baseline::seccomp), (19, baseline::seccomp_1_19)]),
    baseline(
        "sysctls",
        &[
            (0, baseline::sysctls),
            (27, baseline::sysctls_1_27),
            (29, baseline::sysctls_1_29),
            (32, baseline::sysctls_1_32),
            (37, baseline::sysctls_1_37),
        ],
    ),
    baseline("windowsHostProcess", &[(0, baseline::windows_host_process)]),
    restricted(
        "allowPrivilegeEscalation",
        "",
        &[(8, restricted::privilege_escalation), (25, restricted::privilege_escalation_1_25)],
    ),
    restricted(
        "capabilities_restricted",
        "capabilities_baseline",
        &[(22, restricted::capabilities), (25, restricted::capabilities_1_25)],
    ),
    restricted("procMount_restricted", "procMount", &[(35, baseline::proc_mount)]),
    restricted("restrictedVolumes", "hostPathVolumes", &[(0, restricted::volumes)]),
    restricted("runAsNonRoot", "", &[(0, restricted::run_as_non_root), (35, restricted::run_as_non_root_1_35)]),
    restricted("runAsUser", "", &[(23, restricted::run_as_user), (35, restricted::run_as_user_1_35)]),
    restricted(
        "seccompProfile_restricted",
        "seccompProfile_baseline",
        &[(19, restricted::seccomp), (25, restricted::seccomp_1_25)],
    ),
];

impl Check {
    fn at(&self, minor: Option<u32>) -> Option<CheckPod> {
        let reached = |from: u32| minor.is_none_or(|minor| minor >= from);
        self.versions.iter().rev().find(|(from, _)| reached(*from)).map(|(_, check)| *check)
    }
}

/// Everything that a level, as of a version, refuses about a pod.
pub fn violations(wanted: LevelVersion, pod: Pod<'_>) -> Vec<Violation> {
    let active = |check: &&Check| check.level <= wanted.level && check.at(wanted.minor).is_some();
    let overridden = |id: &str| CHECKS.iter().filter(active).any(|c| c.overrides == id);
    CHECKS
        .iter()
        .filter(active)
        .filter(|check| !overridden(check.id))
        .filter_map(|check| check.at(wanted.minor)?(pod))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Upstream's pods, read where the Go module cache holds them; none where there is no such cache.
    fn fixtures() -> Option<String> {
        let output = std::process::Command::new("go")
            .args(["list", "-m", "-f", "{{.Dir}}", "k8s.io/pod-security-admission"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/upstream/kubernetes"))
            .output()
            .ok()
            .filter(|o| o.status.success())?;
        Some(format!("{}/test/testdata", String::from_utf8_lossy(&output.stdout).trim()))
    }

    #[test]
    fn upstreams_pods_pass_and_fail_as_they_should() {
        let Some(folder) = fixtures() else { return };
        let mut judged = 0;
        for (name, level) in [("baseline", Level::Baseline), ("restricted", Level::Restricted)] {
            for minor in 0..=37 {
                for (outcome, passes) in [("pass", true), ("fail", false)] {
                    let Ok(files) = std::fs::read_dir(format!("{folder}/{name}/v1.{minor}/{outcome}")) else {
                        continue;
                    };
                    for file in files {
                        let path = file.unwrap().path();
                        let (mut pod, _) = schema::yaml::from_yaml(&std::fs::read(&path).unwrap()).unwrap();
                        // What defaulting does before admission: a volume without a source is an empty directory.
                        for volume in pod["spec"]["volumes"].as_array_mut().into_iter().flatten() {
                            if volume.as_object().unwrap().len() == 1 {
                                volume["emptyDir"] = serde_json::json!({});
                            }
                        }
                        let annotations = pod["metadata"]["annotations"].as_object();
                        let view = Pod { annotations, spec: &pod["spec"] };
                        let found = violations(LevelVersion { level, minor: Some(minor) }, view);
                        assert_eq!(found.is_empty(), passes, "{}: {found:?}", path.display());
                        judged += 1;
                    }
                }
            }
        }
        assert!(judged > 2000, "only {judged} pods were found");
    }
}
