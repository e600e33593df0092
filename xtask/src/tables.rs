//! `cargo xtask tables`: writes the type tables anew from upstream's modules and fails when that changes them, so that
//! nobody edits by hand what a program writes.

use crate::{shell, workspace};
use anyhow::{Result, bail};

/// Runs the table program of `tests/tables` and asks git what it changed.
pub fn rebuild() -> Result<()> {
    let root = workspace::root();
    let folder = root.join("schema/tables");
    let mut program = shell::cmd("go", ["run", "-mod=mod", "."]);
    shell::run(program.arg(&folder).current_dir(root.join("tests/tables")))?;
    let mut difference = shell::cmd("git", ["status", "--porcelain", "--", "schema/tables"]);
    let changed = shell::read(difference.current_dir(root))?;
    if !changed.is_empty() {
        bail!("the tables differ from upstream; look at the difference and commit it:\n{changed}");
    }
    println!("schema/tables says what upstream says");
    Ok(())
}
