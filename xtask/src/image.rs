//! `cargo xtask image`: the one static binary, and the image `FROM scratch` around it.

use crate::archive::{self, Image, Layer};
use crate::shell::{cmd, run};
use crate::workspace;
use anyhow::{Context, Result};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// The repository in the image's name; the tag is the workspace's version.
const REPOSITORY: &str = "coracle.dev/coracle";

#[derive(clap::Args)]
pub struct Options {
    /// Compile faster, for a larger and slower binary (profile `quick`).
    #[arg(long)]
    pub quick: bool,
}

/// The image's name, as the chart's default values say it.
pub fn name() -> String {
    format!("{REPOSITORY}:{}", workspace::VERSION)
}

/// The binary that the last build left.
pub fn binary() -> PathBuf {
    workspace::target().join("image/coracle")
}

/// With the C library inside.
const STATIC: &[&str] = &["-Ctarget-feature=+crt-static"];
/// Functions of the same instructions are one function, and relocations are packed (each is three words of the file otherwise,
/// and there are tens of thousands). Words of lld, with which rustc links on this architecture only.
const SMALL: &[&str] = if cfg!(target_arch = "x86_64") {
    &["-Clink-arg=-Wl,--icf=all", "-Clink-arg=-Wl,--pack-dyn-relocs=relr"]
} else {
    &[]
};

/// The compiler's flags. Places of the sources in this machine's file system stay out of the binary: a panic names the crate.
fn flags() -> Vec<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let registries = home.and_then(|home| fs::read_dir(home.join("registry/src")).ok());
    let folders = registries.into_iter().flatten().flatten().map(|registry| registry.path());
    let remapped =
        folders.chain([workspace::root()]).map(|folder| format!("--remap-path-prefix={}=", folder.display()));
    STATIC.iter().chain(SMALL).map(ToString::to_string).chain(remapped).collect()
}

/// Builds the binary and writes target/image/coracle.tar.
pub fn build(options: &Options) -> Result<PathBuf> {
    let profile = if options.quick { "quick" } else { "release" };
    // Naming the target keeps the flags away from build scripts and procedural macros, which cannot be static.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = cmd("cargo", ["build", "--package", "coracle", "--profile", profile, "--target", &target]);
    cargo.current_dir(workspace::root()).env("CARGO_ENCODED_RUSTFLAGS", flags().join("\u{1f}"));
    run(&mut cargo).context("building coracle")?;
    let built = workspace::target().join(&target).join(profile).join("coracle");

    let folder = workspace::target().join("image");
    let root = folder.join("root");
    fs::create_dir_all(&root)?;
    for copy in [binary(), root.join("coracle")] {
        fs::remove_file(&copy).ok();
        fs::copy(&built, &copy).with_context(|| format!("copying {}", built.display()))?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    }
    let layer = Layer::pack(&root, &folder.join("layer"))?;
    // Freed memory goes back at once: a tenant is idle most of its life.
    let environment = ["PATH=/", "MIMALLOC_PURGE_DELAY=0"];
    let config = json!({"Entrypoint": ["/coracle"], "User": "65532:65532", "WorkingDir": "/", "Env": environment});
    let archive = folder.join("coracle.tar");
    archive::write(&archive, &[Image { tags: vec![name()], config, layers: vec![layer] }])?;
    Ok(archive)
}
