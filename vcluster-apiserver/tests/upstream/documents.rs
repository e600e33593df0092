//! Where upstream's own documents lie, and how ours are compared with them.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of k8s.io/kubernetes, of the version that the table program pins.
pub fn kubernetes() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tables");
    let go = |arguments: &[&str]| {
        let output = Command::new("go").args(arguments).current_dir(&program).output();
        let output = output.expect("go is needed to find upstream's documents");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    };
    go(&["mod", "download", "k8s.io/kubernetes"]);
    let output = go(&["list", "-mod=mod", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"]);
    Path::new(String::from_utf8_lossy(&output.stdout).trim()).to_owned()
}

/// A document of upstream's.
pub fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a published document")).expect("JSON")
}

/// What was the same and what was not.
#[derive(Default)]
pub struct Comparison {
    same: usize,
    different: Vec<String>,
}

impl Comparison {
    /// Compares two values and all that is in them; `at` says where they stand.
    pub fn compare(&mut self, at: &str, ours: &Value, theirs: &Value) {
        match (ours, theirs) {
            (Value::Object(a), Value::Object(b)) => {
                let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                for name in names {
                    let at = format!("{at} {name}");
                    match (a.get(name), b.get(name)) {
                        (Some(a), Some(b)) => self.compare(&at, a, b),
                        (Some(a), None) => self.different.push(format!("{at}: only ours: {}", short(a))),
                        (None, Some(b)) => self.different.push(format!("{at}: only upstream's: {}", short(b))),
                        (None, None) => {}
                    }
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (index, (a, b)) in a.iter().zip(b).enumerate() {
                    self.compare(&format!("{at} {index}"), a, b);
                }
            }
            _ if ours == theirs => self.same += 1,
            _ => self.different.push(format!("{at}: ours {}, upstream's {}", short(ours), short(theirs))),
        }
    }

    /// Prints the figures and fails on a difference.
    pub fn finish(self, what: &str) {
        println!("{what}: same {}, different {}", self.same, self.different.len());
        let listed: Vec<&String> = self.different.iter().take(60).collect();
        assert!(listed.is_empty(), "{what}: {} differences: {listed:#?}", self.different.len());
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(200).collect()
}
