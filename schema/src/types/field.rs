//! One field of a type: where it stands in JSON and protobuf, and how patches treat it.

use super::{Type, generated, string};

/// A value without members of its own in the tables. The last nine have a JSON form that differs from the Go fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    String,
    Bool,
    Int32,
    Int64,
    Float64,
    /// Base64 in JSON.
    Bytes,
    /// RFC 3339 with seconds, or null.
    Time,
    /// RFC 3339 with six decimals, or null.
    MicroTime,
    /// Go's duration text: `1m30s`.
    Duration,
    Quantity,
    IntOrString,
    /// `runtime.RawExtension`: any JSON, kept as it is.
    Raw,
    /// `FieldsV1`: any JSON object, kept as it is.
    FieldsV1,
    /// apiextensions' `JSON`: any JSON value.
    Json,
    /// Go's `interface{}`: cells of a `Table`; not in protobuf.
    Any,
}

const SCALARS: [Scalar; 15] = [
    Scalar::String,
    Scalar::Bool,
    Scalar::Int32,
    Scalar::Int64,
    Scalar::Float64,
    Scalar::Bytes,
    Scalar::Time,
    Scalar::MicroTime,
    Scalar::Duration,
    Scalar::Quantity,
    Scalar::IntOrString,
    Scalar::Raw,
    Scalar::FieldsV1,
    Scalar::Json,
    Scalar::Any,
];

/// The shape of a value. Cheap to copy; [`ShapeId::get`] steps into elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Scalar(Scalar),
    Message(&'static Type),
    List(ShapeId),
    /// A list of its own Go type which protobuf wraps in a message with the field 1 (`ExtraValue`, `Verbs`).
    Wrapped(ShapeId),
    /// An object with arbitrary keys.
    Map(ShapeId),
    /// An optional value: absent differs from zero.
    Pointer(ShapeId),
}

/// The shape of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeId(u16);

impl ShapeId {
    pub fn get(self) -> Shape {
        let (tag, argument) = generated::SHAPES[usize::from(self.0)];
        match tag {
            0 => Shape::Scalar(SCALARS[usize::from(argument)]),
            1 => Shape::Message(&generated::TYPES[usize::from(argument)]),
            2 => Shape::Pointer(ShapeId(argument)),
            3 => Shape::List(ShapeId(argument)),
            4 => Shape::Wrapped(ShapeId(argument)),
            _ => Shape::Map(ShapeId(argument)),
        }
    }
}

/// How server-side apply merges a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListType {
    /// Also what a list without a marker is.
    Atomic,
    Set,
    /// By the keys that [`Field::list_map_keys`] names.
    Map,
}

/// How strategic merge patch treats the field (`patchStrategy` tags).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// Lists are merged, by [`Field::merge_key`] if there is one.
    pub merge: bool,
    /// The field is replaced, not merged.
    pub replace: bool,
    /// Members that the patch does not name in `$retainKeys` are dropped.
    pub retain_keys: bool,
}

/// One field of a Go struct.
pub struct Field {
    name: u16,
    number: u16,
    shape: u16,
    flags: u16,
    go: u16,
    merge_key: u16,
    keys: u16,
    default: u16,
    values: u16,
    format: u16,
}

impl Field {
    pub(super) const fn row(r: [u16; 10]) -> Self {
        Self {
            name: r[0],
            number: r[1],
            shape: r[2],
            flags: r[3],
            go: r[4],
            merge_key: r[5],
            keys: r[6],
            default: r[7],
            values: r[8],
            format: r[9],
        }
    }

    /// Empty for an inlined type.
    pub fn json_name(&self) -> &'static str {
        string(self.name)
    }

    /// The protobuf field number; 0 when the field is not in protobuf (`TypeMeta`).
    pub fn number(&self) -> u32 {
        u32::from(self.number)
    }

    /// The members of the field's type stand in the JSON object of the parent. Protobuf nests them all the same.
    pub fn is_inline(&self) -> bool {
        self.flags & 8 != 0
    }

    /// The shape with an outer pointer taken off; see [`Field::is_pointer`].
    pub fn shape(&self) -> Shape {
        match ShapeId(self.shape).get() {
            Shape::Pointer(inner) => inner.get(),
            shape => shape,
        }
    }

    /// Absent and zero differ.
    pub fn is_pointer(&self) -> bool {
        matches!(ShapeId(self.shape).get(), Shape::Pointer(_))
    }

    /// The message type of the field or of its elements, whatever lists, maps and pointers are around it.
    pub fn message(&self) -> Option<&'static Type> {
        let mut shape = self.shape();
        loop {
            shape = match shape {
                Shape::Message(t) => return Some(t),
                Shape::Scalar(_) => return None,
                Shape::List(inner) | Shape::Wrapped(inner) | Shape::Map(inner) | Shape::Pointer(inner) => inner.get(),
            };
        }
    }

    /// Go leaves the member out when it is false, 0, "", nil or of no length. Structs are never empty in that sense.
    pub fn omit_empty(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Go leaves the member out when the whole value is zero, also a struct or a time.
    pub fn omit_zero(&self) -> bool {
        self.flags & 2 != 0
    }

    /// Listed as required in the published schema.
    pub fn required(&self) -> bool {
        self.flags & 4 != 0
    }

    pub fn patch_strategy(&self) -> PatchStrategy {
        PatchStrategy {
            merge: self.flags & 0x10 != 0,
            replace: self.flags & 0x20 != 0,
            retain_keys: self.flags & 0x40 != 0,
        }
    }

    /// The key by which strategic merge patch pairs list elements.
    pub fn merge_key(&self) -> Option<&'static str> {
        Some(string(self.merge_key)).filter(|key| !key.is_empty())
    }

    /// The published `x-kubernetes-list-type`, or `None` where there is no marker (which server-side apply reads as atomic).
    pub fn list_type(&self) -> Option<ListType> {
        match self.flags >> 8 & 3 {
            1 => Some(ListType::Atomic),
            2 => Some(ListType::Set),
            3 => Some(ListType::Map),
            _ => None,
        }
    }

    /// The keys of a list of type map, in their declared order.
    pub fn list_map_keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        string(self.keys).split(',').filter(|key| !key.is_empty())
    }

    /// The field's map or object is one value for server-side apply.
    pub fn is_atomic_map(&self) -> bool {
        self.flags & 0x400 != 0
    }

    /// The field's map or object is merged member by member, even where its type says that it is one value.
    pub fn is_granular_map(&self) -> bool {
        self.flags & 0x800 != 0
    }

    /// The declared default as JSON text. `{}`, `""`, `0` and `false` only say that the field is not a pointer.
    pub fn default_json(&self) -> Option<&'static str> {
        Some(string(self.default)).filter(|text| !text.is_empty())
    }

    /// The values of a `+enum` type, sorted; empty otherwise.
    pub fn enum_values(&self) -> impl Iterator<Item = &'static str> + use<> {
        let text = string(self.values);
        text.split(',').filter(move |_| !text.is_empty())
    }

    /// A published format that the shape does not imply.
    pub fn format(&self) -> Option<&'static str> {
        Some(string(self.format)).filter(|text| !text.is_empty())
    }

    /// The Go type's own name (`v1.PodPhase`) where it is not the plain scalar, as upstream's errors print it.
    pub fn go_type(&self) -> Option<&'static str> {
        Some(string(self.go)).filter(|text| !text.is_empty())
    }
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({})", self.json_name(), self.number())
    }
}
