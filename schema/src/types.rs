//! Upstream's API types: names, fields, numbers, list keys, defaults. Lookups only; the facts are in `tables/`.
//!
//! A `Type` is a row of a static array and is compared by address or by name. Names of types are written
//! `package.version.Name`, as in `core.v1.PodSpec` and `meta.v1.ObjectMeta`.

mod field;

pub use field::{Field, ListType, PatchStrategy, Scalar, Shape};

use apimachinery::gvk::GroupVersionKind;

mod generated {
    //! Compiled from the type tables.
    use super::{Field, Type};
    include!(concat!(env!("OUT_DIR"), "/types.rs"));
}

static STRINGS: &str = include_str!(concat!(env!("OUT_DIR"), "/strings.txt"));

fn string(id: u16) -> &'static str {
    let (start, length) = generated::SPANS[usize::from(id)];
    &STRINGS[start as usize..start as usize + usize::from(length)]
}

/// How a type's JSON relates to its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A JSON object with one member per field.
    Struct,
    /// A schema or an array of schemas (`JSONSchemaPropsOrArray`).
    SchemaOrArray,
    /// A schema or a boolean (`JSONSchemaPropsOrBool`).
    SchemaOrBool,
    /// A schema or an array of strings (`JSONSchemaPropsOrStringArray`).
    SchemaOrStrings,
}

/// One of upstream's Go struct types.
pub struct Type {
    name: u16,
    package: u16,
    first_field: u16,
    field_count: u16,
    first_sorted: u16,
    sorted_count: u16,
    form: u16,
    flags: u16,
    union: u16,
    introduced: u16,
    deprecated: u16,
    removed: u16,
    replacement: u16,
}

impl Type {
    const fn row(r: [u16; 13]) -> Self {
        Self {
            name: r[0],
            package: r[1],
            first_field: r[2],
            field_count: r[3],
            first_sorted: r[4],
            sorted_count: r[5],
            form: r[6],
            flags: r[7],
            union: r[8],
            introduced: r[9],
            deprecated: r[10],
            removed: r[11],
            replacement: r[12],
        }
    }

    /// The Go struct's name: `PodSpec`.
    pub fn name(&self) -> &'static str {
        string(self.name)
    }

    /// The package as the tables write it: `core.v1`.
    pub fn package(&self) -> &'static str {
        string(generated::PACKAGES[usize::from(self.package)][0])
    }

    /// The type as Go prints it in errors: `v1.PodSpec`.
    pub fn go_name(&self) -> String {
        let package = self.package();
        format!("{}.{}", package.rsplit('.').next().unwrap_or(package), self.name())
    }

    /// The name of the published schema: `io.k8s.api.core.v1.PodSpec`.
    pub fn model(&self) -> String {
        format!("{}.{}", string(generated::PACKAGES[usize::from(self.package)][1]), self.name())
    }

    /// The fields in Go's order; inlined types appear as one nameless field.
    pub fn fields(&self) -> &'static [Field] {
        let first = usize::from(self.first_field);
        &generated::FIELDS[first..first + usize::from(self.field_count)]
    }

    /// The fields which are in protobuf, by rising number.
    pub fn by_number(&self) -> impl DoubleEndedIterator<Item = &'static Field> + use<> {
        let first = usize::from(self.first_field);
        let order = &generated::NUMBERED[first..first + usize::from(self.field_count)];
        let fields = self.fields();
        order.iter().map(move |index| &fields[usize::from(*index)]).filter(|field| field.number() != 0)
    }

    /// The members of the JSON object sorted by name, with those of inlined types in place.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &'static Field> + use<> {
        self.sorted().iter().map(|id| &generated::FIELDS[usize::from(*id)])
    }

    /// The member of that JSON name, looked for in inlined types too. Case matters.
    pub fn field(&self, json_name: &str) -> Option<&'static Field> {
        self.in_order().find(json_name)
    }

    /// A lookup for names that come mostly in alphabetical order, as they do in stored JSON.
    pub fn in_order(&self) -> InOrder {
        InOrder { sorted: self.sorted(), next: 0 }
    }

    /// The type's place in [`types`].
    pub(crate) fn position(&'static self) -> usize {
        types().partition_point(|t| (t.package(), t.name()) < (self.package(), self.name()))
    }

    /// The place of its first member among those of all types.
    pub(crate) fn first_member(&self) -> usize {
        usize::from(self.first_sorted)
    }

    fn sorted(&self) -> &'static [u16] {
        let first = usize::from(self.first_sorted);
        &generated::SORTED[first..first + usize::from(self.sorted_count)]
    }

    pub fn form(&self) -> Form {
        match self.form {
            1 => Form::SchemaOrArray,
            2 => Form::SchemaOrBool,
            3 => Form::SchemaOrStrings,
            _ => Form::Struct,
        }
    }

    /// False for types which have no protobuf message (`Table`, ...).
    pub fn has_protobuf(&self) -> bool {
        self.flags & 1 == 0
    }

    /// Server-side apply treats the whole object as one value (`x-kubernetes-map-type: atomic`).
    pub fn is_atomic(&self) -> bool {
        self.flags & 2 != 0
    }

    /// The JSON text of `x-kubernetes-unions`, if the type declares one.
    pub fn unions(&self) -> Option<&'static str> {
        Some(string(self.union)).filter(|text| !text.is_empty())
    }

    /// The release (`1.21`) in which the kind appeared.
    pub fn introduced(&self) -> Option<&'static str> {
        Some(string(self.introduced)).filter(|text| !text.is_empty())
    }

    /// The release in which the kind was deprecated.
    pub fn deprecated(&self) -> Option<&'static str> {
        Some(string(self.deprecated)).filter(|text| !text.is_empty())
    }

    /// The release that no longer serves the kind.
    pub fn removed(&self) -> Option<&'static str> {
        Some(string(self.removed)).filter(|text| !text.is_empty())
    }

    /// What to use instead, as `group/version/Kind`.
    pub fn replacement(&self) -> Option<&'static str> {
        Some(string(self.replacement)).filter(|text| !text.is_empty())
    }
}

/// See [`Type::in_order`].
pub struct InOrder {
    sorted: &'static [u16],
    /// The member behind the one that was found last.
    next: usize,
}

impl InOrder {
    /// As [`Type::field`].
    pub fn find(&mut self, json_name: &str) -> Option<&'static Field> {
        let field = |id: &u16| &generated::FIELDS[usize::from(*id)];
        let ahead = self.sorted.get(self.next..).unwrap_or_default().iter().take(AHEAD);
        let at = match ahead.map(field).position(|field| field.json_name() == json_name) {
            Some(steps) => self.next + steps,
            None => self.sorted.binary_search_by(|id| field(id).json_name().cmp(json_name)).ok()?,
        };
        self.next = at + 1;
        self.sorted.get(at).map(field)
    }
}

/// How many members are tried before the name is searched for: optional ones are mostly absent.
const AHEAD: usize = 4;

impl PartialEq for Type {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Type {}

impl std::fmt::Debug for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.package(), self.name())
    }
}

/// Every type, sorted by package and name.
pub fn types() -> &'static [Type] {
    &generated::TYPES
}

/// The type of that name, as in `core.v1.PodSpec`.
pub fn type_named(name: &str) -> Option<&'static Type> {
    let (package, name) = name.rsplit_once('.')?;
    let at = generated::TYPES.binary_search_by(|t| (t.package(), t.name()).cmp(&(package, name))).ok()?;
    Some(&generated::TYPES[at])
}

/// Kinds that every group version has, because clients send options in the group version they talk to.
const IN_EVERY_VERSION: [&str; 7] =
    ["CreateOptions", "DeleteOptions", "GetOptions", "ListOptions", "PatchOptions", "UpdateOptions", "WatchEvent"];

/// The type of a kind, list kinds included. Option kinds and `WatchEvent` are found in every group version.
pub fn kind(gvk: &GroupVersionKind) -> Option<&'static Type> {
    kind_of(&gvk.group, &gvk.version, &gvk.kind)
}

/// As [`kind`], from the three parts.
pub fn kind_of(group: &str, version: &str, kind: &str) -> Option<&'static Type> {
    if IN_EVERY_VERSION.contains(&kind) {
        return type_named(&format!("meta.v1.{kind}"));
    }
    let row = |row: &[u16; 4]| (string(row[0]), string(row[1]), string(row[2]));
    let at = generated::KINDS.binary_search_by(|candidate| row(candidate).cmp(&(group, version, kind))).ok()?;
    Some(&generated::TYPES[usize::from(generated::KINDS[at][3])])
}

/// Every kind with its type, as (group, version, kind, type), sorted.
pub fn kinds() -> impl ExactSizeIterator<Item = (&'static str, &'static str, &'static str, &'static Type)> {
    generated::KINDS
        .iter()
        .map(|row| (string(row[0]), string(row[1]), string(row[2]), &generated::TYPES[usize::from(row[3])]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_find_kinds_types_and_inlined_members() {
        let pod = kind_of("", "v1", "Pod").expect("Pod");
        assert_eq!(pod.model(), "io.k8s.api.core.v1.Pod");
        assert_eq!(pod.go_name(), "v1.Pod");
        assert!(pod.field("apiVersion").is_some(), "TypeMeta is inlined");
        assert!(pod.field("Spec").is_none(), "case matters");
        let volume = type_named("core.v1.Volume").expect("Volume");
        assert_eq!(volume.field("configMap").map(Field::number), Some(19));
        assert_eq!(kind_of("apps", "v1", "DeleteOptions"), type_named("meta.v1.DeleteOptions"));
        assert_eq!(kind_of("apps", "v2", "Deployment"), None);
    }

    #[test]
    fn members_are_sorted_so_that_every_lookup_succeeds() {
        for t in types() {
            for member in t.members() {
                assert!(t.field(member.json_name()).is_some_and(|found| std::ptr::eq(found, member)), "{t:?}");
            }
        }
    }

    #[test]
    fn the_tables_are_small() {
        let bytes = size_of_val(&generated::TYPES) + size_of_val(&generated::FIELDS) + STRINGS.len();
        assert!(bytes < 512 * 1024, "{bytes} bytes of tables");
    }
}
