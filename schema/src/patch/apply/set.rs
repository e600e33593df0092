//! Sets of field paths as trees, and their JSON form `FieldsV1`: an object per step, `{}` for a member without
//! members below, `.` for a member that has some.

use super::Element;
use crate::patch::{Member, PatchSchema};
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// A set of field paths. The path of the whole object is never a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Sorted by element; every node is a member or has members below.
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    element: Element,
    member: bool,
    below: Set,
}

impl Node {
    fn is_used(&self) -> bool {
        self.member || !self.below.is_empty()
    }
}

impl Set {
    /// The set of paths of plain field names, for sets that are known beforehand.
    pub fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let path: Vec<Element> = path.iter().map(|name| Element::Field((*name).to_owned())).collect();
            set.insert(&path);
        }
        set
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn find(&self, element: &Element) -> Result<usize, usize> {
        match self.nodes.last() {
            // Sets are mostly made in order.
            Some(last) if last.element < *element => Err(self.nodes.len()),
            _ => self.nodes.binary_search_by(|n| n.element.cmp(element)),
        }
    }

    /// Adds one path; its parents do not become members.
    pub fn insert(&mut self, path: &[Element]) {
        match path {
            [] => {}
            [last] => self.put(last.clone(), true, Self::default()),
            [first, rest @ ..] => {
                let mut below = Self::default();
                below.insert(rest);
                self.put(first.clone(), false, below);
            }
        }
    }

    /// Adds a member and what lies below it.
    pub(super) fn put(&mut self, element: Element, member: bool, below: Self) {
        if !member && below.is_empty() {
            return;
        }
        match self.find(&element) {
            Ok(at) => {
                self.nodes[at].member |= member;
                self.nodes[at].below.add(below);
            }
            Err(at) => self.nodes.insert(at, Node { element, member, below }),
        }
    }

    pub fn has(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.find(last).is_ok_and(|at| self.nodes[at].member),
            [first, rest @ ..] => self.find(first).is_ok_and(|at| self.nodes[at].below.has(rest)),
        }
    }

    /// Whether `element` is a member, and what lies below it.
    pub(super) fn at(&self, element: &Element) -> (bool, Option<&Self>) {
        match self.find(element) {
            Ok(at) => (self.nodes[at].member, Some(&self.nodes[at].below).filter(|b| !b.is_empty())),
            Err(_) => (false, None),
        }
    }

    /// Union.
    pub fn add(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        for node in other.nodes {
            self.put(node.element, node.member, node.below);
        }
    }

    /// Difference by path: a member stays when only its parent or its children are in `other`.
    pub fn subtract(&mut self, other: &Self) {
        self.keep(other, |node, theirs| {
            node.member &= !theirs.member;
            node.below.subtract(&theirs.below);
        });
    }

    /// Difference that takes with each member of `other` everything below it.
    pub fn subtract_all_below(&mut self, other: &Self) {
        self.keep(other, |node, theirs| {
            if theirs.member {
                node.member = false;
                node.below = Self::default();
            } else {
                node.below.subtract_all_below(&theirs.below);
            }
        });
    }

    /// Changes the nodes that both sets have, and drops those that are no longer used.
    fn keep(&mut self, other: &Self, change: impl Fn(&mut Node, &Node)) {
        if other.is_empty() {
            return;
        }
        let mut theirs = other.nodes.iter().peekable();
        self.nodes.retain_mut(|node| {
            while let Some(candidate) = theirs.peek() {
                match candidate.element.cmp(&node.element) {
                    Ordering::Less => {
                        theirs.next();
                    }
                    Ordering::Equal => {
                        change(node, candidate);
                        return node.is_used();
                    }
                    Ordering::Greater => break,
                }
            }
            true
        });
    }

    /// The paths that both sets have.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let shared = self.nodes.iter().filter_map(|node| {
            let theirs = &other.nodes[other.find(&node.element).ok()?];
            let below = node.below.intersection(&theirs.below);
            let both = Node { element: node.element.clone(), member: node.member && theirs.member, below };
            both.is_used().then_some(both)
        });
        Self { nodes: shared.collect() }
    }

    /// The set with the named fields on the way to its members as members too.
    pub(super) fn with_named_fields<S: PatchSchema>(&self, schema: Option<S>) -> Self {
        let node = |node: &Node| {
            let (named, position) = match (&node.element, schema) {
                (Element::Field(name), Some(schema)) if schema.atom().map.is_some() => match schema.member(name) {
                    Member::Named(member) => (true, Some(member)),
                    Member::Element(member) => (false, Some(member)),
                    Member::Undeclared => (false, None),
                },
                (Element::Key(_), Some(schema)) if schema.atom().list.is_some() => (false, Some(schema.element())),
                _ => (false, None),
            };
            let below = node.below.with_named_fields(position);
            Node { element: node.element.clone(), member: node.member || (named && !node.below.is_empty()), below }
        };
        Self { nodes: self.nodes.iter().map(node).collect() }
    }

    /// All members as paths: those of one level before what lies below them.
    pub fn paths(&self) -> Vec<Vec<Element>> {
        fn walk(set: &Set, path: &mut Vec<Element>, out: &mut Vec<Vec<Element>>) {
            for node in set.nodes.iter().filter(|node| node.member) {
                out.push(path.iter().chain([&node.element]).cloned().collect());
            }
            for node in &set.nodes {
                path.push(node.element.clone());
                walk(&node.below, path, out);
                path.pop();
            }
        }
        let mut out = Vec::new();
        walk(self, &mut Vec::new(), &mut out);
        out
    }

    /// Reads `FieldsV1`.
    pub fn decode(fields: &Value) -> Result<Self, String> {
        let Value::Object(map) = fields else { return Err("FieldsV1 is no JSON object".into()) };
        let (set, _) = read(map, 0)?;
        Ok(set)
    }

    /// Writes `FieldsV1`.
    pub fn encode(&self) -> Value {
        Value::Object(self.write(false))
    }

    fn write(&self, member: bool) -> Map<String, Value> {
        let mut map = Map::new();
        if member && !self.is_empty() {
            map.insert(".".into(), Value::Object(Map::new()));
        }
        for node in &self.nodes {
            map.insert(node.element.encoded(), Value::Object(node.below.write(node.member)));
        }
        map
    }
}

/// The paths below, and whether the object says that its own path is a member.
fn read(map: &Map<String, Value>, depth: usize) -> Result<(Set, bool), String> {
    if depth > 256 {
        return Err("exceeded max depth".into());
    }
    let (mut set, mut member) = (Set::default(), false);
    for (key, value) in map {
        if key == "." {
            member = true;
            continue;
        }
        let Some(element) = Element::parse(key)? else { continue };
        let Value::Object(map) = value else { return Err(format!("{key} is no JSON object")) };
        let (below, is_member) = read(map, depth + 1)?;
        set.put(element, is_member, below);
    }
    let member = member || set.is_empty();
    Ok((set, member))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn set(value: Value) -> Set {
        Set::decode(&value).unwrap()
    }

    #[test]
    fn fields_are_read_and_written() {
        let cases = [
            json!({}),
            json!({"f:a": {}}),
            json!({"f:a": {".": {}, "f:b": {}}}),
            json!({"f:l": {"k:{\"name\":\"x\",\"port\":80}": {".": {}, "f:name": {}}, "v:\"s\"": {}, "i:3": {}}}),
        ];
        for fields in cases {
            assert_eq!(set(fields.clone()).encode(), fields);
        }
        assert_eq!(set(json!({"z:new": {"f:a": {}}, "f:b": {"z:new": {}}})).encode(), json!({"f:b": {}}));
        for bad in
            [json!([]), json!({"f": {}}), json!({"k:x": {}}), json!({"i:x": {}}), json!({"f:a": 1}), json!({"éé": {}})]
        {
            assert!(Set::decode(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn set_operations() {
        let a = || set(json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}}));
        let b = set(json!({"f:a": {}, "f:d": {}}));
        let mut difference = a();
        difference.subtract(&b);
        assert_eq!(difference.encode(), json!({"f:a": {"f:b": {}}, "f:c": {}}));
        let mut recursive = a();
        recursive.subtract_all_below(&b);
        assert_eq!(recursive.encode(), json!({"f:c": {}}));
        assert_eq!(a().intersection(&b).encode(), json!({"f:a": {}}));
        let mut union = a();
        union.add(b);
        assert_eq!(union.encode(), json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}, "f:d": {}}));
        let paths: Vec<String> =
            a().paths().iter().map(|p| p.iter().map(ToString::to_string).collect::<String>()).collect();
        assert_eq!(paths, [".a", ".c", ".a.b"]);
    }

    fn arbitrary() -> impl Strategy<Value = Set> {
        let path = prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4);
        prop::collection::vec(path, 0..6).prop_map(|paths| {
            let paths: Vec<&[&str]> = paths.iter().map(Vec::as_slice).collect();
            Set::of_fields(&paths)
        })
    }

    proptest! {
        #[test]
        fn sets_obey_the_laws_of_sets(a in arbitrary(), b in arbitrary()) {
            let mut union = a.clone();
            union.add(b.clone());
            let mut rest = union.clone();
            rest.subtract(&b);
            let mut only_a = a.clone();
            only_a.subtract(&b);
            prop_assert_eq!(&rest, &only_a);
            let shared = a.intersection(&b);
            only_a.add(shared);
            prop_assert_eq!(&only_a, &a);
            prop_assert_eq!(Set::decode(&a.encode()), Ok(a));
        }

        #[test]
        fn any_fields_are_read_or_refused(keys in prop::collection::vec("(\\.|[fkviz]:?[a\"{}:1é]{0,4})", 0..4)) {
            let fields: Map<String, Value> = keys.into_iter().map(|k| (k, json!({}))).collect();
            let _ = Set::decode(&Value::Object(fields));
        }
    }
}
