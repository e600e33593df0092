//! The default storage class of the host: a folder on the machine for each claim, bound to the node that the scheduler chose.
//!
//! It follows claims and volumes through `kubectl get --watch` and answers each event alone; a repeated event changes nothing.
//! A volume whose claim is gone is removed with its data (reclaim policy Delete). Claims of other classes, and claims that
//! no pod has asked for yet, are left alone.

use crate::shell::{cmd, quiet};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;

/// The name in `StorageClass.provisioner` and on the volumes.
const NAME: &str = "coracle.dev/local";

/// Runs until a watch cannot be continued for good.
pub fn run(volumes: &Path, kubectl: &Path) -> Result<()> {
    fs::create_dir_all(volumes)?;
    let (events, received) = channel();
    for resource in ["persistentvolumeclaims", "persistentvolumes"] {
        let (events, kubectl) = (events.clone(), kubectl.to_path_buf());
        thread::spawn(move || follow(&kubectl, resource, &events));
    }
    drop(events);
    for object in received {
        let done = match plan(&object, volumes) {
            Some(Plan::Provision { folder, volume }) => provision(kubectl, &folder, &volume),
            Some(Plan::Remove { folder, name }) => remove(kubectl, &folder, &name),
            None => Ok(()),
        };
        if let Err(error) = done {
            eprintln!("{}: {error:#}", object["metadata"]["name"]);
        }
    }
    bail!("both watches have ended")
}

/// What an object asks for.
#[derive(Debug, PartialEq)]
enum Plan {
    Provision { folder: PathBuf, volume: Value },
    Remove { folder: PathBuf, name: String },
}

fn plan(object: &Value, volumes: &Path) -> Option<Plan> {
    let annotation = |key: &str| object["metadata"]["annotations"][key].as_str();
    if object["kind"] == "PersistentVolume" {
        let ours = annotation("pv.kubernetes.io/provisioned-by") == Some(NAME);
        let over =
            object["status"]["phase"] == "Released" && object["spec"]["persistentVolumeReclaimPolicy"] == "Delete";
        let name = object["metadata"]["name"].as_str()?.to_owned();
        return (ours && over).then(|| Plan::Remove { folder: volumes.join(&name), name });
    }
    let ours = annotation("volume.kubernetes.io/storage-provisioner") == Some(NAME);
    if !ours || object["spec"]["volumeName"].is_string() || !object["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    let node = annotation("volume.kubernetes.io/selected-node")?;
    let metadata = &object["metadata"];
    let name = format!("pvc-{}", metadata["uid"].as_str()?);
    let folder = volumes.join(&name);
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": NAME}},
        "spec": {
            "capacity": {"storage": object["spec"]["resources"]["requests"]["storage"]},
            "accessModes": object["spec"]["accessModes"],
            "volumeMode": "Filesystem",
            "storageClassName": object["spec"]["storageClassName"],
            "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"],
            },
            "local": {"path": folder},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]},
            ]}]}},
        },
    });
    Some(Plan::Provision { folder, volume })
}

fn provision(kubectl: &Path, folder: &Path, volume: &Value) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777))?;
    let mut apply = Command::new(kubectl);
    apply.args(["apply", "--server-side", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = apply.spawn().context("running kubectl")?;
    let mut input = child.stdin.take().context("kubectl has a standard input")?;
    input.write_all(&serde_json::to_vec(volume)?)?;
    drop(input);
    let status = child.wait()?;
    if !status.success() {
        bail!("kubectl apply of the volume failed ({status})");
    }
    println!("provisioned {}", folder.display());
    Ok(())
}

fn remove(kubectl: &Path, folder: &Path, name: &str) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    quiet(&mut cmd(kubectl, ["delete", "persistentvolume", name, "--ignore-not-found", "--wait=false"]))?;
    println!("removed {}", folder.display());
    Ok(())
}

/// Sends every object of a resource, now and whenever it changes. A watch ends now and then; kubectl starts the next.
fn follow(kubectl: &Path, resource: &str, events: &Sender<Value>) {
    loop {
        let mut watch = cmd(kubectl, ["get", resource, "--all-namespaces", "--watch", "-o", "json"]);
        let Ok(mut child) = watch.stdout(Stdio::piped()).spawn() else { return };
        if let Some(output) = child.stdout.take() {
            let objects = serde_json::Deserializer::from_reader(BufReader::new(output)).into_iter::<Value>();
            for object in objects.map_while(Result::ok) {
                if events.send(object).is_err() {
                    return;
                }
            }
        }
        child.wait().ok();
        thread::sleep(std::time::Duration::from_secs(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(annotations: Value) -> Value {
        json!({
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": "shop", "uid": "u1", "annotations": annotations},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "local"},
        })
    }

    #[test]
    fn claims_wait_for_their_node_and_get_a_volume_there() {
        let volumes = Path::new("/volumes");
        let ours = "volume.kubernetes.io/storage-provisioner";
        assert_eq!(plan(&claim(json!({ours: NAME})), volumes), None, "no pod has asked yet");
        let node = "volume.kubernetes.io/selected-node";
        assert_eq!(plan(&claim(json!({ours: "other", node: "n1"})), volumes), None, "another class");

        let Some(Plan::Provision { folder, volume }) = plan(&claim(json!({ours: NAME, node: "n2"})), volumes) else {
            panic!("not provisioned");
        };
        assert_eq!(folder, Path::new("/volumes/pvc-u1"));
        assert_eq!(volume["spec"]["claimRef"]["uid"], "u1");
        assert_eq!(volume["spec"]["capacity"]["storage"], "1Gi");
        let terms = &volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"];
        assert_eq!(terms[0]["matchExpressions"][0]["values"], json!(["n2"]));
    }

    #[test]
    fn only_released_volumes_of_ours_are_removed() {
        let volume = |phase: &str, by: &str| {
            json!({
                "kind": "PersistentVolume",
                "metadata": {"name": "pvc-u1", "annotations": {"pv.kubernetes.io/provisioned-by": by}},
                "spec": {"persistentVolumeReclaimPolicy": "Delete"}, "status": {"phase": phase},
            })
        };
        let volumes = Path::new("/volumes");
        assert_eq!(plan(&volume("Bound", NAME), volumes), None);
        assert_eq!(plan(&volume("Released", "other"), volumes), None);
        let removal = Plan::Remove { folder: PathBuf::from("/volumes/pvc-u1"), name: "pvc-u1".to_owned() };
        assert_eq!(plan(&volume("Released", NAME), volumes), Some(removal));
    }
}
