//! Gathers the published descriptions of types and fields and packs them: those of most types out of the sources of the
//! k8s-openapi crate, which the workspace depends on, and the rest out of `tables/descriptions.txt`.
//!
//! What comes out is one deflated file that nobody unpacks until somebody asks for a published document.

use flate2::{Compression, write::DeflateEncoder};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, process::Command};

/// Descriptions by model and member; the empty member is the type itself.
pub type Descriptions = BTreeMap<String, BTreeMap<String, String>>;

/// Where cargo keeps the sources of the k8s-openapi crate.
pub fn crate_folder() -> PathBuf {
    let target = env::var("TARGET").expect("cargo sets the target");
    let output = Command::new(env::var("CARGO").expect("cargo sets its path"))
        .args(["metadata", "--format-version", "1", "--filter-platform", &target, "--manifest-path"])
        .arg(Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets the folder")).join("Cargo.toml"))
        .output()
        .expect("run cargo metadata");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let manifests = metadata.split("\"manifest_path\":\"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut folders = manifests.filter_map(|manifest| Path::new(manifest).parent());
    let is_it = |folder: &&Path| {
        folder
            .file_name()
            .is_some_and(|name| name.to_string_lossy().trim_start_matches("k8s-openapi-").starts_with("0."))
    };
    folders.find(is_it).expect("k8s-openapi is a dependency of the workspace").to_owned()
}

/// Everything that the crate says, from the `schemars` implementations of its types.
pub fn read_crate(folder: &Path) -> Descriptions {
    let mut out = Descriptions::new();
    let mut folders = vec![folder.join("src/v1_37")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("folder of the crate") {
            let path = entry.expect("entry of the crate").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                read_source(&fs::read_to_string(&path).expect("source of the crate"), &mut out);
            }
        }
    }
    assert!(out.len() > 500, "the sources of k8s-openapi are not laid out as they were: {} types", out.len());
    out
}

fn read_source(source: &str, out: &mut Descriptions) {
    let Some((_, rest)) = source.split_once("fn schema_name() ") else { return };
    let Some((head, body)) = rest.split_once("fn json_schema(") else { return };
    let Some(model) = head.lines().find_map(|line| literal(line.trim())) else { return };
    let texts = out.entry(model).or_default();
    let mut member = String::new();
    for line in body.lines() {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim();
        if indent == 16 && line.ends_with(['{', '(']) && line.starts_with('"') {
            member = literal(line).unwrap_or_default();
        } else if let Some(rest) = line.strip_prefix("\"description\": ") {
            // The type's own stands among its keywords, a member's among the member's.
            let key = if indent <= 12 { String::new() } else { member.clone() };
            texts.extend(literal(rest).map(|text| (key, text)));
        } else if let Some((_, rest)) = line.split_once(".insert(\"description\".into(), ") {
            texts.extend(literal(rest).map(|text| (member.clone(), text)));
        }
    }
}

/// The string literal that a text begins with. Rust's and Go's escapes are the same for what stands in descriptions.
fn literal(text: &str) -> Option<String> {
    let mut characters = text.strip_prefix('"')?.chars();
    let mut out = String::new();
    loop {
        match characters.next()? {
            '"' => return Some(out),
            '\\' => match characters.next()? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                'u' => {
                    let digits: String = characters.by_ref().filter(char::is_ascii_hexdigit).take(4).collect();
                    out.push(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)?);
                }
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
}

/// What `tables/descriptions.txt` adds: members by the tables' names of types, and comments of enum values.
#[derive(Default)]
pub struct Added {
    pub members: HashMap<(String, String), String>,
    /// By name of the enum type: the lines of its values.
    pub enums: HashMap<String, Vec<String>>,
}

pub fn read_added(text: &str) -> Added {
    let mut added = Added::default();
    for line in text.lines() {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().expect("three words in a line of descriptions");
        let (first, second, rest) = (word(), word(), word());
        if first == "enum" {
            let (value, comment) = rest.split_once(' ').unwrap_or((rest, ""));
            let value = value.replace("\\u0020", " ");
            let mut entry = format!(" - `{value}`");
            if !comment.is_empty() {
                write!(entry, " {comment}").expect("write to a string");
            }
            added.enums.entry(second.to_owned()).or_default().push(entry);
        } else {
            let member = if second == "-" { "" } else { second };
            let text = literal(&format!("\"{rest}\"")).expect("a quoted description");
            added.members.insert((first.to_owned(), member.to_owned()), text);
        }
    }
    for lines in added.enums.values_mut() {
        lines.sort();
    }
    added
}

/// Interned texts and the numbers that refer to them; 0 is no text.
#[derive(Default)]
pub struct Pack {
    texts: Vec<String>,
    ids: HashMap<String, u16>,
    references: Vec<u16>,
}

impl Pack {
    pub fn push(&mut self, text: Option<&str>) {
        let Some(text) = text else {
            self.references.push(0);
            return;
        };
        if let Some(id) = self.ids.get(text) {
            self.references.push(*id);
            return;
        }
        self.texts.push(text.to_owned());
        let id = u16::try_from(self.texts.len()).expect("fewer texts than 65536");
        self.ids.insert(text.to_owned(), id);
        self.references.push(id);
    }

    /// The references, two bytes each, then the texts, a zero byte after each; all deflated.
    pub fn deflate(&self) -> Vec<u8> {
        let mut plain: Vec<u8> = self.references.iter().flat_map(|id| id.to_le_bytes()).collect();
        for text in &self.texts {
            plain.extend_from_slice(text.as_bytes());
            plain.push(0);
        }
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&plain).expect("deflate into memory");
        encoder.finish().expect("deflate into memory")
    }
}
