//! A flat index over a JSON text: one small record per value, in order, each knowing where the next sibling stands.

use super::SyntaxError;
use super::scan::Scanner;
use std::borrow::Cow;

/// What a value is, seen from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    Null,
    True,
    False,
    Number,
    String,
    /// A string with escapes or broken UTF-8: its value is not its text.
    EscapedString,
    Array,
    Object,
}

/// One value: its bytes, and the position of what follows it.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) next: u32,
    pub kind: NodeKind,
}

/// A checked JSON text with its index. Nodes are named by position; the root is 0.
#[derive(Debug)]
pub struct Tape<'a> {
    text: &'a [u8],
    nodes: Vec<Node>,
}

impl<'a> Tape<'a> {
    /// Checks `text` and indexes it. Bodies of 4 GiB and more never get here.
    pub fn parse(text: &'a [u8]) -> Result<Self, SyntaxError> {
        Ok(Self { text, nodes: Scanner::new(text).run()? })
    }

    pub fn kind(&self, node: usize) -> NodeKind {
        self.nodes[node].kind
    }

    pub fn is_string(&self, node: usize) -> bool {
        matches!(self.kind(node), NodeKind::String | NodeKind::EscapedString)
    }

    /// The bytes of the value as they stand in the text.
    pub fn text(&self, node: usize) -> &'a [u8] {
        let Node { start, end, .. } = self.nodes[node];
        &self.text[start as usize..end as usize]
    }

    /// The literal of a number.
    pub fn number(&self, node: usize) -> &'a str {
        // The scanner lets nothing but ASCII into a number.
        std::str::from_utf8(self.text(node)).unwrap_or("0")
    }

    /// The value of a string; broken UTF-8 and lone surrogates become U+FFFD, as in Go.
    pub fn string(&self, node: usize) -> Cow<'a, str> {
        let quoted = self.text(node);
        let inner = &quoted[1..quoted.len() - 1];
        match std::str::from_utf8(inner) {
            Ok(text) if self.kind(node) == NodeKind::String => Cow::Borrowed(text),
            _ => Cow::Owned(unescape(inner)),
        }
    }

    /// The members of an object as (key node, value node), in order; empty for other values.
    pub fn members(&self, node: usize) -> Members<'_> {
        let end = if self.kind(node) == NodeKind::Object { self.nodes[node].next as usize } else { node };
        Members { nodes: &self.nodes, at: node + 1, end }
    }

    /// The elements of an array, in order; empty for other values.
    pub fn children(&self, node: usize) -> Children<'_> {
        let end = if self.kind(node) == NodeKind::Array { self.nodes[node].next as usize } else { node };
        Children { nodes: &self.nodes, at: node + 1, end }
    }

    /// The value of the last member with that key.
    pub fn member(&self, node: usize, key: &str) -> Option<usize> {
        self.members(node).filter(|(name, _)| self.string(*name) == key).last().map(|(_, value)| value)
    }
}

pub struct Members<'t> {
    nodes: &'t [Node],
    at: usize,
    end: usize,
}

impl Iterator for Members<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let (key, value) = (self.at, self.at + 1);
        self.at = self.nodes[value].next as usize;
        Some((key, value))
    }
}

pub struct Children<'t> {
    nodes: &'t [Node],
    at: usize,
    end: usize,
}

impl Iterator for Children<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.at >= self.end {
            return None;
        }
        let child = self.at;
        self.at = self.nodes[child].next as usize;
        Some(child)
    }
}

fn unescape(inner: &[u8]) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        out.push_str(&String::from_utf8_lossy(&rest[..at]));
        let code = rest.get(at + 1).copied().unwrap_or(b'\\');
        rest = rest.get(at + 2..).unwrap_or_default();
        match code {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let unit = hex(rest);
                rest = rest.get(4..).unwrap_or_default();
                let low = if rest.starts_with(b"\\u") { hex(&rest[2..]) } else { 0 };
                if (0xd800..0xdc00).contains(&unit) && (0xdc00..0xe000).contains(&low) {
                    rest = rest.get(6..).unwrap_or_default();
                    let point = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                    out.push(char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER));
                } else {
                    out.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
            }
            other => out.push(char::from(other)),
        }
    }
    out.push_str(&String::from_utf8_lossy(rest));
    out
}

fn hex(digits: &[u8]) -> u32 {
    let text = digits.get(..4).and_then(|four| std::str::from_utf8(four).ok()).unwrap_or("fffd");
    u32::from_str_radix(text, 16).unwrap_or(0xfffd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn syntax_errors_read_like_upstreams() {
        let cases: &[(&str, &str)] = &[
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            (r#"{"a":tru"#, "unexpected end of JSON input"),
            (r#"{"a":trux}"#, "invalid character 'x' in literal true (expecting 'e')"),
            ("nul", "unexpected end of JSON input"),
            ("{a}", "invalid character 'a' looking for beginning of object key string"),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (r#"{"a":1 "b"}"#, "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1ex", "invalid character 'x' in exponent of numeric literal"),
            ("01", "invalid character '1' after top-level value"),
            ("\"\n\"", "invalid character '\\n' in string literal"),
            (r#""\q""#, "invalid character 'q' in string escape code"),
            (r#""\u00g0""#, "invalid character 'g' in \\u hexadecimal character escape"),
        ];
        for (text, want) in cases {
            assert_eq!(
                Tape::parse(text.as_bytes()).map(|_| ()).map_err(|e| e.to_string()),
                Err((*want).into()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_million_brackets_are_an_error() {
        let text = "[".repeat(1_000_000);
        assert_eq!(Tape::parse(text.as_bytes()).err(), Some(SyntaxError::TooDeep { byte: b'[' }));
    }

    #[test]
    fn strings_are_unescaped_and_repaired() {
        let text = br#"["plain","\u00e9\n\/","\ud83d\ude00","\ud83dx"]"#;
        let tape = Tape::parse(text).expect("valid");
        let got: Vec<_> = tape.children(0).map(|node| tape.string(node).into_owned()).collect();
        assert_eq!(got, ["plain", "é\n/", "😀", "\u{fffd}x"]);
        let tape = Tape::parse(b"\"a\xffb\"").expect("accepted");
        assert_eq!(tape.string(0), "a\u{fffd}b");
    }

    proptest! {
        #[test]
        fn accepts_what_serde_accepts_and_never_panics(text in r#"[\[\]{}:,"\\ a0-9eE.+tfn-]{0,40}"#) {
            let ours = Tape::parse(text.as_bytes()).is_ok();
            let theirs = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok();
            // Raw values check syntax alone, as the tape does.
            prop_assert_eq!(ours, theirs, "{}", text);
        }

        #[test]
        fn any_bytes_end_in_a_result(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(tape) = Tape::parse(&bytes) {
                let _ = tape.is_string(0).then(|| tape.string(0));
            }
        }
    }
}
