//! Fuzz targets of everything that reads a client's bytes: `cargo xtask fuzz` runs them under libFuzzer.
//!
//! A target takes any bytes and fails by a panic. It asserts more than that nothing breaks: what was read can be printed and
//! is read again as the same, and two readers of one text agree. All targets are one program, which is linked once;
//! `FUZZ_TARGET` names the one to run. Without libFuzzer the program gives a target the contents of files:
//! `FUZZ_TARGET=quantity cargo run -p fuzz -- FILE...`.

#![cfg_attr(feature = "libfuzzer", no_main)]

mod continue_token;
mod json;
mod patch;
mod protobuf;
mod quantity;
mod request;
mod selector;
mod yaml;

use std::sync::LazyLock;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 8] = [
    ("continue_token", continue_token::run),
    ("json", json::run),
    ("patch", patch::run),
    ("protobuf", protobuf::run),
    ("quantity", quantity::run),
    ("request", request::run),
    ("selector", selector::run),
    ("yaml", yaml::run),
];

/// The target that `FUZZ_TARGET` names.
static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let known = TARGETS.map(|(name, _)| name).join(", ");
    let target = TARGETS.into_iter().find(|(known, _)| *known == name);
    target.unwrap_or_else(|| unreachable!("FUZZ_TARGET is {name:?} and not one of {known}")).1
});

#[cfg(feature = "libfuzzer")]
libfuzzer_sys::fuzz_target!(|input: &[u8]| TARGET(input));

#[cfg(not(feature = "libfuzzer"))]
fn main() -> std::io::Result<()> {
    for file in std::env::args_os().skip(1) {
        TARGET(&std::fs::read(file)?);
    }
    Ok(())
}
