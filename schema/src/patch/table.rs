//! The patch schema of built-in kinds, read off the type tables in the way upstream reads its published OpenAPI
//! (k8s.io/kube-openapi `pkg/schemaconv`).

use super::{Atom, ListKind, MapKind, Member, PatchSchema, ScalarKind, Strategy};
use crate::types::{Field, Form, ListType, Scalar, Shape, Type};
use serde_json::Value;

/// A position in a built-in type.
#[derive(Clone, Copy, Debug)]
pub struct TableSchema(At);

#[derive(Clone, Copy, Debug)]
enum At {
    /// A shape; with the field that declares its markers, unless it is an element of a list or map.
    Shape(Shape, Option<&'static Field>),
    /// Any JSON, one value.
    Untyped,
    /// Any JSON, merged by its form.
    Deduced,
}

impl TableSchema {
    /// The whole object of a kind.
    pub fn of(kind: &'static Type) -> Self {
        Self(At::Shape(Shape::Message(kind), None))
    }

    fn normal(shape: Shape, field: Option<&'static Field>) -> Self {
        Self(match shape {
            Shape::Pointer(inner) => return Self::normal(inner.get(), field),
            Shape::Scalar(Scalar::Raw) => At::Untyped,
            Shape::Scalar(Scalar::Json | Scalar::Any | Scalar::FieldsV1) => At::Deduced,
            Shape::Message(t) if t.form() != Form::Struct => At::Deduced,
            Shape::Message(t) if t.fields().is_empty() => At::Deduced,
            _ => At::Shape(shape, field),
        })
    }

    fn field(self) -> Option<&'static Field> {
        if let At::Shape(_, field) = self.0 { field } else { None }
    }
}

fn scalar_kind(scalar: Scalar) -> ScalarKind {
    match scalar {
        Scalar::String | Scalar::Bytes | Scalar::Duration => ScalarKind::String,
        Scalar::Bool => ScalarKind::Boolean,
        Scalar::Int32 | Scalar::Int64 | Scalar::Float64 => ScalarKind::Numeric,
        _ => ScalarKind::Untyped,
    }
}

/// A list without a marker falls back to its patch strategy, as in published schemas.
fn list_kind(field: Option<&'static Field>) -> ListKind {
    let Some(field) = field else { return ListKind::Atomic };
    match field.list_type() {
        Some(ListType::Atomic) => ListKind::Atomic,
        Some(ListType::Set) => ListKind::Set,
        Some(ListType::Map) => ListKind::Map,
        None if !field.patch_strategy().merge => ListKind::Atomic,
        None if field.merge_key().is_some() => ListKind::Map,
        None => ListKind::Set,
    }
}

impl PatchSchema for TableSchema {
    fn atom(self) -> Atom {
        let (shape, field) = match self.0 {
            At::Untyped => {
                return Atom {
                    scalar: Some(ScalarKind::Untyped),
                    list: Some(ListKind::Atomic),
                    map: Some(MapKind::Atomic),
                };
            }
            At::Deduced => {
                return Atom {
                    scalar: Some(ScalarKind::Untyped),
                    list: Some(ListKind::Atomic),
                    map: Some(MapKind::Granular),
                };
            }
            At::Shape(shape, field) => (shape, field),
        };
        let atomic_field = field.is_some_and(Field::is_atomic_map);
        let map = |atomic: bool| if atomic { MapKind::Atomic } else { MapKind::Granular };
        match shape {
            Shape::Scalar(scalar) => Atom { scalar: Some(scalar_kind(scalar)), ..Atom::default() },
            Shape::Message(t) => {
                let granular = field.is_some_and(Field::is_granular_map);
                Atom { map: Some(map(atomic_field || t.is_atomic() && !granular)), ..Atom::default() }
            }
            Shape::Map(_) => Atom { map: Some(map(atomic_field)), ..Atom::default() },
            Shape::List(_) | Shape::Wrapped(_) => Atom { list: Some(list_kind(field)), ..Atom::default() },
            Shape::Pointer(inner) => Self::normal(inner.get(), field).atom(),
        }
    }

    fn member(self, name: &str) -> Member<Self> {
        match self.0 {
            At::Deduced | At::Untyped => Member::Element(self),
            At::Shape(Shape::Message(t), _) => match t.field(name) {
                Some(field) => Member::Named(Self::normal(field.shape(), Some(field))),
                None => Member::Undeclared,
            },
            At::Shape(Shape::Map(inner), _) => Member::Element(Self::normal(inner.get(), None)),
            At::Shape(..) => Member::Undeclared,
        }
    }

    fn element(self) -> Self {
        match self.0 {
            At::Shape(Shape::List(inner) | Shape::Wrapped(inner), _) => Self::normal(inner.get(), None),
            _ => Self(At::Untyped),
        }
    }

    fn list_key(&self, index: usize) -> Option<&str> {
        let field = self.field()?;
        match field.list_type() {
            Some(ListType::Map) => field.list_map_keys().nth(index),
            None if index == 0 => field.merge_key(),
            _ => None,
        }
    }

    fn default(self) -> Option<Value> {
        serde_json::from_str(self.field()?.default_json()?).ok()
    }

    fn implied(self) -> bool {
        let Some(field) = self.field().filter(|f| !f.is_pointer()) else { return false };
        match field.shape() {
            Shape::Message(_) => !field.omit_zero(),
            Shape::List(_) | Shape::Wrapped(_) => !field.omit_empty(),
            _ => false,
        }
    }

    fn strategy(self) -> Strategy {
        let strategy = self.field().map(Field::patch_strategy).unwrap_or_default();
        Strategy { merge: strategy.merge, replace: strategy.replace }
    }

    fn merge_key(&self) -> Option<&str> {
        self.field()?.merge_key()
    }

    fn type_name(&self) -> String {
        match self.0 {
            At::Shape(Shape::Message(t), _) => t.name().to_owned(),
            At::Shape(Shape::Map(_), _) => "map".to_owned(),
            At::Shape(Shape::List(_) | Shape::Wrapped(_), _) => "slice".to_owned(),
            _ => "struct".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::kind_of;

    fn at(path: &[&str]) -> TableSchema {
        let pod = TableSchema::of(kind_of("", "v1", "Pod").expect("Pod"));
        path.iter().fold(pod, |schema, name| match *name {
            "*" => schema.element(),
            name => schema.member(name).position().unwrap_or_else(|| panic!("{path:?}")),
        })
    }

    #[test]
    fn tables_answer_like_the_published_schema() {
        let containers = at(&["spec", "containers"]);
        assert_eq!(containers.atom().list, Some(ListKind::Map));
        assert_eq!((containers.list_key(0), containers.list_key(1)), (Some("name"), None));
        let ports = at(&["spec", "containers", "*", "ports"]);
        assert_eq!((ports.list_key(0), ports.list_key(1)), (Some("containerPort"), Some("protocol")));
        assert_eq!(at(&["spec", "containers", "*", "ports", "*", "protocol"]).default(), Some(Value::from("TCP")));
        assert_eq!(at(&["spec", "containers", "*", "args"]).atom().list, Some(ListKind::Atomic));
        assert_eq!(at(&["spec", "nodeSelector"]).atom().map, Some(MapKind::Atomic));
        assert_eq!(at(&["metadata", "labels"]).atom().map, Some(MapKind::Granular));
        assert_eq!(at(&["metadata", "finalizers"]).atom().list, Some(ListKind::Set));
        assert_eq!(at(&["metadata", "creationTimestamp"]).atom().scalar, Some(ScalarKind::Untyped));
        assert!(at(&["spec", "volumes"]).strategy().merge);
        assert!(matches!(at(&["spec"]).member("nope"), Member::Undeclared));
        assert!(matches!(at(&["metadata", "labels"]).member("any"), Member::Element(_)));
    }
}
