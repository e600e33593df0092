//! Where things lie in the checkout. Paths are absolute; nothing here creates them.

use std::path::{Path, PathBuf};

/// The version of every crate of the workspace, and so of the image and the chart.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The root of the checkout that this xtask was compiled in.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Everything built or started goes below here.
pub fn target() -> PathBuf {
    root().join("target")
}

/// The upstream programs: see [`crate::upstream`].
pub fn upstream_bin() -> PathBuf {
    target().join("upstream/bin")
}
