//! Values without a type: custom resources, and raw parts of typed objects.

use super::scalars;
use super::typed::Decoder;
use crate::json::NodeKind;
use serde_json::{Map, Value};

impl Decoder<'_> {
    /// A free-form value; duplicate members are strict errors.
    pub(super) fn untyped(&mut self, node: usize) -> Value {
        self.free(node, true)
    }

    /// A value which upstream keeps as bytes, so that nothing inside is judged.
    pub(super) fn verbatim(&mut self, node: usize) -> Value {
        self.free(node, false)
    }

    fn free(&mut self, node: usize, judge: bool) -> Value {
        let tape = self.tape;
        match tape.kind(node) {
            NodeKind::Null => Value::Null,
            NodeKind::True => Value::Bool(true),
            NodeKind::False => Value::Bool(false),
            NodeKind::Number => scalars::number(tape.number(node)),
            NodeKind::String | NodeKind::EscapedString => Value::String(tape.string(node).into_owned()),
            NodeKind::Array => {
                let elements = tape.children(node).enumerate();
                Value::Array(elements.map(|(index, child)| self.at(index, |walk| walk.free(child, judge))).collect())
            }
            NodeKind::Object => {
                let mut map = Map::new();
                for (key, child) in tape.members(node) {
                    let key = tape.string(key);
                    if judge && map.contains_key(&*key) {
                        self.note("duplicate field", &key);
                    }
                    let value = self.within(key.clone(), |walk| walk.free(child, judge));
                    map.insert(key.into_owned(), value);
                }
                Value::Object(map)
            }
        }
    }
}
