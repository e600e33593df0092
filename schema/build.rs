//! Compiles the text tables under `tables/` into static arrays of small integers and one string.
//!
//! Integers need no relocation, so the arrays stay in the read-only part of the binary: pages are read from the file
//! when a kind is first used and cost no private memory. A line that this program does not understand fails the build.

#![expect(clippy::panic, reason = "a build script reports by panicking")]

#[path = "build/descriptions.rs"]
mod descriptions;

use descriptions::{Added, Descriptions, Pack};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::{env, fs, path::Path};

fn main() {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets the folder")).join("tables");
    println!("cargo:rerun-if-changed={}", folder.display());
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("tables folder").map(|entry| entry.expect("table entry").path()).collect();
    files.sort();
    let mut packages = Vec::new();
    let mut resources = String::new();
    let mut added = Added::default();
    for file in files {
        println!("cargo:rerun-if-changed={}", file.display());
        let text = fs::read_to_string(&file).expect("table file");
        if file.file_name().is_some_and(|name| name == "resources.txt") {
            resources = text;
        } else if file.file_name().is_some_and(|name| name == "descriptions.txt") {
            added = descriptions::read_added(&text);
        } else {
            parse_types(&text, &mut packages);
        }
    }
    packages.sort_by(|a: &PackageText, b| a.name.cmp(&b.name));
    let out = env::var("OUT_DIR").expect("cargo sets the output folder");
    let mut tables = Tables::default();
    let source = descriptions::crate_folder();
    println!("cargo:rerun-if-changed={}", source.join("Cargo.toml").display());
    let pack = describe(&packages, &resources, &descriptions::read_crate(&source), &added);
    fs::write(Path::new(&out).join("descriptions.bin"), pack.deflate()).expect("write descriptions");
    let code = tables.types(packages);
    fs::write(Path::new(&out).join("types.rs"), code).expect("write types");
    fs::write(Path::new(&out).join("strings.txt"), &tables.text).expect("write strings");
    fs::write(Path::new(&out).join("resources.rs"), resources_code(&resources)).expect("write resources");
}

#[derive(Default)]
struct TypeText<'a> {
    package: &'a str,
    name: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
    fields: Vec<FieldText<'a>>,
}

struct FieldText<'a> {
    name: &'a str,
    number: &'a str,
    shape: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
}

struct PackageText {
    name: String,
    model: String,
    body: String,
}

fn attribute(word: &str) -> (&str, &str) {
    word.split_once('=').unwrap_or((word, ""))
}

fn parse_types(text: &str, packages: &mut Vec<PackageText>) {
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("package ") {
            let (name, model) = rest.split_once(" model=").expect("package line");
            packages.push(PackageText { name: name.into(), model: model.into(), body: String::new() });
        } else {
            let package = packages.last_mut().expect("a package line first");
            package.body.push_str(line);
            package.body.push('\n');
        }
    }
}

fn types_of(package: &PackageText) -> Vec<TypeText<'_>> {
    let mut types: Vec<TypeText> = Vec::new();
    for line in package.body.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        if line.starts_with("type ") {
            words.next();
            let name = words.next().expect("type name");
            types.push(TypeText {
                package: &package.name,
                name,
                attributes: words.map(attribute).collect(),
                fields: Vec::new(),
            });
        } else {
            let field = FieldText {
                name: words.next().expect("field name"),
                number: words.next().expect("field number"),
                shape: words.next().expect("field shape"),
                attributes: words.map(attribute).collect(),
            };
            types.last_mut().expect("a type line first").fields.push(field);
        }
    }
    types.sort_by(|a, b| a.name.cmp(b.name));
    types
}

/// Interned strings and shapes, and the numbers of the types.
#[derive(Default)]
struct Tables {
    text: String,
    spans: Vec<(usize, usize)>,
    strings: HashMap<String, usize>,
    shapes: Vec<(u8, usize)>,
    shape_ids: HashMap<(u8, usize), usize>,
    type_ids: HashMap<String, usize>,
}

const SCALARS: [&str; 15] = [
    "string",
    "bool",
    "int32",
    "int64",
    "float64",
    "bytes",
    "time",
    "microtime",
    "duration",
    "quantity",
    "intorstring",
    "raw",
    "fieldsv1",
    "json",
    "any",
];
const FORMS: [&str; 4] = ["", "schema-or-array", "schema-or-bool", "schema-or-strings"];

impl Tables {
    fn string(&mut self, text: &str) -> usize {
        if self.spans.is_empty() {
            self.spans.push((0, 0));
            self.strings.insert(String::new(), 0);
        }
        if let Some(id) = self.strings.get(text) {
            return *id;
        }
        self.spans.push((self.text.len(), text.len()));
        self.text.push_str(text);
        self.strings.insert(text.into(), self.spans.len() - 1);
        self.spans.len() - 1
    }

    fn shape(&mut self, text: &str) -> usize {
        let row = if let Some(rest) = text.strip_prefix('*') {
            (2, self.shape(rest))
        } else if let Some(rest) = text.strip_prefix("[]") {
            (3, self.shape(rest))
        } else if let Some(rest) = text.strip_prefix("wrapped[]") {
            (4, self.shape(rest))
        } else if let Some(rest) = text.strip_prefix("{}") {
            (5, self.shape(rest))
        } else if let Some(scalar) = SCALARS.iter().position(|name| *name == text) {
            (0, scalar)
        } else {
            (1, *self.type_ids.get(text).unwrap_or_else(|| panic!("no type {text}")))
        };
        let next = self.shapes.len();
        let id = *self.shape_ids.entry(row).or_insert(next);
        if id == next {
            self.shapes.push(row);
        }
        id
    }

    fn types(&mut self, packages: Vec<PackageText>) -> String {
        let models: Vec<(String, String)> = packages.iter().map(|p| (p.name.clone(), p.model.clone())).collect();
        let types: Vec<TypeText> = packages.iter().flat_map(types_of).collect();
        for (id, t) in types.iter().enumerate() {
            self.type_ids.insert(format!("{}.{}", t.package, t.name), id);
        }
        let package_ids: HashMap<&str, usize> =
            models.iter().enumerate().map(|(id, (name, _))| (name.as_str(), id)).collect();

        let mut first_field = Vec::new();
        let mut field_rows = Vec::new();
        for t in &types {
            first_field.push(field_rows.len());
            for field in &t.fields {
                let row = self.field(field);
                field_rows.push(row);
            }
        }
        let mut numbered = Vec::new();
        for t in &types {
            let mut order: Vec<usize> = (0..t.fields.len()).collect();
            order.sort_by_key(|index| t.fields[*index].number.parse::<u32>().unwrap_or(0));
            numbered.extend(order);
        }
        let mut type_rows = String::new();
        let mut sorted = Vec::new();
        let mut kinds = BTreeMap::new();
        for (id, t) in types.iter().enumerate() {
            let mut flat = BTreeMap::new();
            flatten(&types, &self.type_ids, &first_field, id, &mut flat);
            let row =
                self.type_row(t, package_ids[t.package], [first_field[id], t.fields.len(), sorted.len(), flat.len()]);
            writeln!(type_rows, "Type::row({row:?}),").expect("write to a string");
            sorted.extend(flat.into_values());
            for (_, kind) in t.attributes.iter().filter(|(name, _)| *name == "kind") {
                let parts: Vec<&str> = kind.split('/').collect();
                kinds.insert((parts[0].to_owned(), parts[1].to_owned(), parts[2].to_owned()), id);
            }
        }
        let mut code = self.code(&models, &type_rows, types.len(), &field_rows, &sorted, &kinds);
        writeln!(code, "pub(super) static NUMBERED: [u8; {}] = {numbered:?};", numbered.len())
            .expect("write to a string");
        code
    }

    fn type_row(&mut self, t: &TypeText, package: usize, spans: [usize; 4]) -> [usize; 13] {
        let get = |name: &str| t.attributes.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| *value);
        let form = FORMS.iter().position(|form| *form == get("form")).expect("known form");
        let no_protobuf = usize::from(t.attributes.iter().any(|(key, _)| *key == "no-protobuf"));
        let atomic = usize::from(get("map-type") == "atomic");
        [
            self.string(t.name),
            package,
            spans[0],
            spans[1],
            spans[2],
            spans[3],
            form,
            no_protobuf | atomic << 1,
            self.string(get("union")),
            self.string(get("introduced")),
            self.string(get("deprecated")),
            self.string(get("removed")),
            self.string(get("replacement")),
        ]
    }

    fn field(&mut self, field: &FieldText) -> [usize; 10] {
        let mut flags = 0;
        let (mut go, mut merge_key, mut keys, mut default, mut values, mut format) = (0, 0, 0, 0, 0, 0);
        for (name, value) in &field.attributes {
            match (*name, *value) {
                ("inline", _) => {}
                ("omitempty", _) => flags |= 1,
                ("omitzero", _) => flags |= 2,
                ("required", _) => flags |= 4,
                ("patch", "merge") => flags |= 0x10,
                ("patch", "replace") => flags |= 0x20,
                ("patch", "retainKeys") => flags |= 0x40,
                ("patch", "merge,retainKeys") => flags |= 0x50,
                ("list-type", "atomic") => flags |= 0x100,
                ("list-type", "set") => flags |= 0x200,
                ("list-type", "map") => flags |= 0x300,
                ("map-type", "atomic") => flags |= 0x400,
                ("map-type", "granular") => flags |= 0x800,
                ("go", name) => go = self.string(name),
                ("merge-key", key) => merge_key = self.string(key),
                ("keys", names) => keys = self.string(names),
                ("default", json) => default = self.string(&json.replace("\\u0020", " ")),
                ("enum", names) => values = self.string(&names.replace("\\u0020", " ")),
                ("format", name) => format = self.string(name),
                other => panic!("attribute {other:?} of field {}", field.name),
            }
        }
        if field.name == "-" {
            flags |= 8;
        }
        let name = if field.name == "-" { "" } else { field.name };
        let number = if field.number == "-" { 0 } else { field.number.parse().expect("field number") };
        [self.string(name), number, self.shape(field.shape), flags, go, merge_key, keys, default, values, format]
    }

    fn code(
        &mut self,
        models: &[(String, String)],
        type_rows: &str,
        types: usize,
        fields: &[[usize; 10]],
        sorted: &[usize],
        kinds: &BTreeMap<(String, String, String), usize>,
    ) -> String {
        let mut out = String::new();
        let mut package_rows = Vec::new();
        for (name, model) in models {
            package_rows.push([self.string(name), self.string(model)]);
        }
        let mut kind_rows = Vec::new();
        for ((group, version, kind), id) in kinds {
            kind_rows.push([self.string(group), self.string(version), self.string(kind), *id]);
        }
        let mut line = |text: String| writeln!(out, "{text}").expect("write to a string");
        line(format!("pub(super) static TYPES: [Type; {types}] = [{type_rows}];"));
        line(format!("pub(super) static FIELDS: [Field; {}] = [", fields.len()));
        for row in fields {
            line(format!("Field::row({row:?}),"));
        }
        line("];".into());
        line(format!("pub(super) static SORTED: [u16; {}] = {sorted:?};", sorted.len()));
        line(format!("pub(super) static SHAPES: [(u8, u16); {}] = {:?};", self.shapes.len(), self.shapes));
        line(format!("pub(super) static PACKAGES: [[u16; 2]; {}] = {package_rows:?};", package_rows.len()));
        line(format!("pub(super) static KINDS: [[u16; 4]; {}] = {kind_rows:?};", kind_rows.len()));
        line(format!("pub(super) static SPANS: [(u32, u16); {}] = {:?};", self.spans.len(), self.spans));
        out
    }
}

/// The fields that a type's JSON object has, by name, with those of inlined types in place.
fn flatten(
    types: &[TypeText],
    ids: &HashMap<String, usize>,
    first_field: &[usize],
    id: usize,
    out: &mut BTreeMap<String, usize>,
) {
    for (index, field) in types[id].fields.iter().enumerate() {
        if field.name != "-" {
            out.insert(field.name.to_owned(), first_field[id] + index);
        } else if let Some(inlined) = ids.get(field.shape) {
            flatten(types, ids, first_field, *inlined, out);
        }
    }
}

/// Models of the values that are no types of the tables, in the order of `schema::description::SCALARS`.
const SCALAR_MODELS: [&str; 8] = [
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Duration",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
];

/// One reference per type, one per member of each type in the order of `SORTED`, one per scalar model.
fn describe(packages: &[PackageText], resources: &str, known: &Descriptions, added: &Added) -> Pack {
    let mut pack = Pack::default();
    let types: Vec<(&PackageText, TypeText)> =
        packages.iter().flat_map(|package| types_of(package).into_iter().map(move |t| (package, t))).collect();
    let ids: HashMap<String, usize> =
        types.iter().enumerate().map(|(id, (_, t))| (format!("{}.{}", t.package, t.name), id)).collect();
    // Only what is served without a flag is ever asked for.
    let bare: Vec<TypeText> = packages.iter().flat_map(types_of).collect();
    let served = reachable(&bare, &ids, resources);
    let text = |package: &PackageText, t: &TypeText, member: &str| -> Option<String> {
        let model = format!("{}.{}", package.model, t.name);
        let own = added.members.get(&(format!("{}.{}", t.package, t.name), member.to_owned()));
        // Every kind has the same two members of its own.
        let inlined = || known.get("io.k8s.api.core.v1.Pod").and_then(|pod| pod.get(member));
        own.or_else(|| known.get(&model).and_then(|texts| texts.get(member)))
            .or_else(|| if matches!(member, "kind" | "apiVersion") { inlined() } else { None })
            .cloned()
    };
    for (id, (package, t)) in types.iter().enumerate() {
        pack.push(text(package, t, "").filter(|_| served.contains(&id)).as_deref());
    }
    for (id, (package, t)) in types.iter().enumerate() {
        let mut flat = BTreeMap::new();
        flatten(&bare, &ids, &vec![0; bare.len()], id, &mut flat);
        for member in flat.keys() {
            let mut whole = text(package, t, member).filter(|_| served.contains(&id));
            if let Some(whole) = &mut whole
                && let Some(field) = find(&bare, &ids, id, member)
                && !field.shape.contains(['[', '{'])
                && let Some(lines) = enum_lines(t, field, added)
            {
                whole.push_str("\n\nPossible enum values:");
                for line in lines {
                    whole.push('\n');
                    whole.push_str(line);
                }
            }
            pack.push(whole.as_deref());
        }
    }
    for model in SCALAR_MODELS {
        pack.push(known.get(model).and_then(|texts| texts.get("")).map(String::as_str));
    }
    pack
}

/// The types of the kinds that are served, of their lists, of options and statuses, and all that their fields name.
fn reachable(types: &[TypeText], ids: &HashMap<String, usize>, resources: &str) -> BTreeSet<usize> {
    let kinds: BTreeSet<&str> = resources.split_whitespace().filter_map(|word| word.strip_prefix("kind=")).collect();
    let is_root = |t: &TypeText| {
        let mut kinds_of = t.attributes.iter().filter(|(name, _)| *name == "kind");
        let is_served = |kind: &str| kinds.contains(kind) || kinds.contains(kind.strip_suffix("List").unwrap_or(kind));
        matches!(t.package, "meta.v1" | "version")
            || (t.package == "core.v1" && t.name.ends_with("Options"))
            || kinds_of.any(|(_, kind)| is_served(kind))
    };
    let mut found = BTreeSet::new();
    let mut open: Vec<usize> = (0..types.len()).filter(|id| is_root(&types[*id])).collect();
    while let Some(id) = open.pop() {
        if found.insert(id) {
            let shapes = types[id].fields.iter().map(|field| field.shape);
            let names =
                shapes.map(|shape| shape.trim_start_matches("wrapped").trim_start_matches(['*', '[', ']', '{', '}']));
            open.extend(names.filter_map(|name| ids.get(name)));
        }
    }
    found
}

/// The field of a member, in the type itself or in an inlined one.
fn find<'a>(
    types: &'a [TypeText<'a>],
    ids: &HashMap<String, usize>,
    id: usize,
    member: &str,
) -> Option<&'a FieldText<'a>> {
    types[id].fields.iter().find(|field| field.name == member).or_else(|| {
        let inlined = types[id].fields.iter().filter(|field| field.name == "-");
        inlined.filter_map(|field| ids.get(field.shape)).find_map(|inlined| find(types, ids, *inlined, member))
    })
}

/// What is said about the values of a field that takes one of several: its Go type is looked for in the same package
/// first, because `v1.X` does not say whose version 1 it is.
fn enum_lines<'a>(t: &TypeText, field: &FieldText, added: &'a Added) -> Option<&'a Vec<String>> {
    let get = |name: &str| field.attributes.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    get("enum")?;
    let go = get("go")?;
    let name = go.rsplit('.').next().unwrap_or(go);
    let same = added.enums.get(&format!("{}.{name}", t.package));
    same.or_else(|| {
        let mut others = added.enums.iter().filter(|(full, _)| full.ends_with(&format!(".{go}")));
        let found = others.next();
        assert!(others.next().is_none(), "{go} of {} is more than one enum", field.name);
        found.map(|(_, lines)| lines)
    })
}

fn resources_code(text: &str) -> String {
    let mut registered = Vec::new();
    let mut options = Vec::new();
    let mut served = Vec::new();
    let mut resources: Vec<(String, String, Vec<String>)> = Vec::new();
    let mut current = ("", "");
    for line in text.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let get = |name: &str| {
            words.iter().map(|word| attribute(word)).find(|(key, _)| *key == name).map_or("", |(_, value)| value)
        };
        let list = |name: &str| {
            let names: Vec<&str> = get(name).split(',').filter(|name| !name.is_empty()).collect();
            format!("&{names:?}")
        };
        match words[0] {
            "registered" => registered.push(words[1].split_once('/').expect("group/version")),
            "options" => options.push(words[1].split_once('/').expect("group/version")),
            "served" => {
                current = words[1].split_once('/').expect("group/version");
                served.push(format!(
                    "ServedVersion {{ group: {:?}, version: {:?}, group_priority: {}, version_priority: {} }}",
                    current.0,
                    current.1,
                    get("group-priority"),
                    get("version-priority")
                ));
            }
            word @ ("resource" | "subresource") => {
                let kind: Vec<&str> = get("kind").split('/').collect();
                let common = format!(
                    "kind_group: {:?}, kind_version: {:?}, kind: {:?}, namespaced: {}, verbs: {}",
                    kind[0],
                    kind[1],
                    kind[2],
                    words[2] == "namespaced",
                    list("verbs")
                );
                if word == "resource" {
                    let head = format!(
                        "group: {:?}, version: {:?}, plural: {:?}, singular: {:?}, {common}, short_names: {}, categories: {}, storage_version_hash: {:?}, deletes_to_object: {}",
                        current.0,
                        current.1,
                        words[1],
                        get("singular"),
                        list("short"),
                        list("categories"),
                        get("hash"),
                        get("delete") == "object"
                    );
                    resources.push((words[1].to_owned(), head, Vec::new()));
                } else {
                    let (parent, name) = words[1].split_once('/').expect("resource/subresource");
                    let sub = format!(
                        "SubresourceInfo {{ name: {name:?}, {common}, connect: {}, subpath: {}, options: {:?}, produces: {:?} }}",
                        list("connect"),
                        words.contains(&"subpath"),
                        get("options"),
                        get("produces")
                    );
                    let owner = resources.iter_mut().rev().find(|(plural, ..)| plural == parent).expect("parent first");
                    owner.2.push(sub);
                }
            }
            other => panic!("line of kind {other} in resources.txt"),
        }
    }
    let mut out = format!("pub(super) static REGISTERED: &[(&str, &str)] = &{registered:?};\n");
    writeln!(out, "pub(super) static OPTIONS: &[(&str, &str)] = &{options:?};").expect("write to a string");
    writeln!(out, "pub(super) static SERVED: &[ServedVersion] = &[{}];", served.join(",\n"))
        .expect("write to a string");
    out.push_str("pub(super) static RESOURCES: &[ResourceInfo] = &[\n");
    for (_, head, subresources) in &resources {
        writeln!(out, "ResourceInfo {{ {head}, subresources: &[{}] }},", subresources.join(", "))
            .expect("write to a string");
    }
    out.push_str("];\n");
    out
}
