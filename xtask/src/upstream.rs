//! `cargo xtask upstream`: builds the pinned upstream programs from the modules in `tests/upstream`.
//!
//! A program is built again only when its module files, the Go version or its flags have changed: a stamp beside the
//! binary holds the digest of all of them. Programs are static, so that they run in `FROM scratch` images as well.

use crate::shell::{cmd, read, run};
use crate::workspace;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The version of Kubernetes that all of this is about.
pub const KUBERNETES: &str = "v1.37.2";
/// The version of CoreDNS, also the tag of its image.
pub const COREDNS: &str = "v1.14.6";

/// How much to build.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Set {
    /// What a host cluster and the tests of a tenant need.
    Minimal,
    /// Also e2e.test, ginkgo and the programs of its rarer images.
    All,
}

/// One program: its file name, module folder below `tests/upstream`, Go package, and what kind of build it is.
struct Program {
    name: &'static str,
    module: &'static str,
    package: &'static str,
    kind: Kind,
    set: Set,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A main package.
    Plain,
    /// A main package that reports Kubernetes' version.
    Versioned,
    /// A test binary that reports Kubernetes' version.
    Test,
}

const fn program(name: &'static str, module: &'static str, package: &'static str, kind: Kind, set: Set) -> Program {
    Program { name, module, package, kind, set }
}

const PROGRAMS: &[Program] = {
    use Kind::{Plain, Test, Versioned};
    use Set::{All, Minimal};
    &[
        program("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", Versioned, Minimal),
        program(
            "kube-controller-manager",
            "kubernetes",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
            Versioned,
            Minimal,
        ),
        program("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler", Versioned, Minimal),
        program("kubelet", "kubernetes", "k8s.io/kubernetes/cmd/kubelet", Versioned, Minimal),
        program("kube-proxy", "kubernetes", "k8s.io/kubernetes/cmd/kube-proxy", Versioned, Minimal),
        program("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl", Versioned, Minimal),
        program("agnhost", "kubernetes", "k8s.io/kubernetes/test/images/agnhost", Plain, Minimal),
        program("etcd", "etcd", ".", Plain, Minimal),
        program("coredns", "coredns", "github.com/coredns/coredns", Plain, Minimal),
        program("clients", "clients", ".", Plain, Minimal),
        program("helm", "helm", "helm.sh/helm/v4/cmd/helm", Plain, Minimal),
        program("e2e.test", "kubernetes", "k8s.io/kubernetes/test/e2e", Test, All),
        program("ginkgo", "kubernetes", "github.com/onsi/ginkgo/v2/ginkgo", Plain, All),
        program("nonewprivs", "kubernetes", "k8s.io/kubernetes/test/images/nonewprivs", Plain, All),
        program("resource-consumer", "kubernetes", "k8s.io/kubernetes/test/images/resource-consumer", Plain, All),
        program("consume-cpu", "kubernetes", "k8s.io/kubernetes/test/images/resource-consumer/consume-cpu", Plain, All),
        program("hostname", "kubernetes", "k8s.io/kubernetes/test/images/busybox", Plain, Minimal),
        program("sample-apiserver", "kubernetes", "k8s.io/sample-apiserver", Versioned, All),
        program("helm3", "helm3", "helm.sh/helm/v3/cmd/helm", Plain, All),
    ]
};

/// Builds what is missing or out of date, one program after the other (each build uses every core by itself).
pub fn build(set: Set) -> Result<()> {
    let bin = workspace::upstream_bin();
    fs::create_dir_all(&bin)?;
    let go = read(&mut cmd("go", ["env", "GOVERSION"])).context("Go is needed to build the upstream programs")?;
    for program in PROGRAMS.iter().filter(|program| set == Set::All || program.set == Set::Minimal) {
        program.build(&bin, go.trim())?;
    }
    Ok(())
}

/// The folder, in Go's module cache, of a module that k8s.io/kubernetes is made of, in its version.
pub fn source(module: &str) -> Result<PathBuf> {
    let mut go = cmd("go", ["mod", "download", "-json", module]);
    let answer: serde_json::Value = serde_json::from_str(&read(go.current_dir(module_dir("kubernetes")))?)?;
    let folder = answer["Dir"].as_str().with_context(|| format!("go mod download names no folder for {module}"))?;
    Ok(PathBuf::from(folder))
}

fn module_dir(module: &str) -> PathBuf {
    workspace::root().join("tests/upstream").join(module)
}

impl Program {
    fn build(&self, bin: &Path, go: &str) -> Result<()> {
        let folder = module_dir(self.module);
        let output = bin.join(self.name);
        let stamp = bin.join(format!(".{}.stamp", self.name));
        let flags = self.linker_flags();
        let inputs = self.digest(&folder, go, &flags)?;
        if output.is_file() && fs::read_to_string(&stamp).is_ok_and(|old| old == inputs) {
            return Ok(());
        }
        println!("building {} ({})", self.name, self.package);
        let begun = Instant::now();
        let verb: &[&str] = if self.kind == Kind::Test { &["test", "-c", "-vet=off"] } else { &["build"] };
        let mut command = cmd("go", verb);
        command.args(["-mod=readonly", "-buildvcs=false", "-ldflags", &flags, "-o"]).arg(&output).arg(self.package);
        command.current_dir(&folder).env("CGO_ENABLED", "0").env_remove("GOFLAGS");
        run(&mut command).with_context(|| format!("building {}", self.name))?;
        fs::write(stamp, inputs)?;
        println!("built {} in {} s", self.name, begun.elapsed().as_secs());
        Ok(())
    }

    fn linker_flags(&self) -> String {
        if self.kind == Kind::Plain {
            return "-s -w".to_owned();
        }
        let version = "k8s.io/component-base/version";
        format!(
            "-s -w -X {version}.gitVersion={KUBERNETES} -X {version}.gitMajor=1 -X {version}.gitMinor=37 \
             -X {version}.gitTreeState=clean -X {version}.gitCommit=0000000000000000000000000000000000000000"
        )
    }

    fn digest(&self, folder: &Path, go: &str, flags: &str) -> Result<String> {
        let mut digest = Sha256::new();
        for text in [go, flags, self.package] {
            digest.update(text);
            digest.update([0]);
        }
        let files =
            fs::read_dir(folder)?.map(|file| Ok(file?.path())).collect::<Result<std::collections::BTreeSet<_>>>()?;
        for path in files {
            if path.extension().is_some_and(|extension| ["mod", "sum", "go"].iter().any(|known| extension == *known)) {
                digest.update(fs::read(&path).with_context(|| format!("reading {}", path.display()))?);
            }
        }
        Ok(format!("{:x}", digest.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_has_a_pinned_module() {
        for program in PROGRAMS {
            for file in ["go.mod", "go.sum"] {
                let path = module_dir(program.module).join(file);
                assert!(path.is_file(), "{} needs {}", program.name, path.display());
            }
        }
    }

    #[test]
    fn the_pinned_versions_are_the_ones_named_here() {
        let module = |name| fs::read_to_string(module_dir(name).join("go.mod")).unwrap();
        assert!(module("kubernetes").contains(&format!("k8s.io/kubernetes {KUBERNETES}")));
        assert!(module("coredns").contains(&format!("github.com/coredns/coredns {COREDNS}")));
    }
}
