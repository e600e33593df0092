//! The JSON grammar: checks bytes and records where each value lies. Iterative, so that hostile nesting cannot
//! overflow the stack.

use super::tape::{Node, NodeKind};
use super::{MAX_DEPTH, SyntaxError};

pub(super) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    open: Vec<u32>,
}

/// What may come next inside the innermost container.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    AfterValue,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, nodes: Vec::with_capacity(text.len() / 8 + 1), open: Vec::new() }
    }

    pub(super) fn run(mut self) -> Result<Vec<Node>, SyntaxError> {
        let mut expect = Expect::Value;
        loop {
            self.skip_space();
            if expect == Expect::AfterValue && self.open.is_empty() {
                return match self.peek() {
                    None => Ok(self.nodes),
                    Some(byte) => Err(self.invalid(byte, "after top-level value")),
                };
            }
            let byte = self.peek().ok_or(SyntaxError::UnexpectedEnd)?;
            expect = match expect {
                Expect::Value => self.value(byte)?,
                Expect::ValueOrEnd if byte == b']' => self.close(),
                Expect::ValueOrEnd => self.value(byte)?,
                Expect::KeyOrEnd if byte == b'}' => self.close(),
                Expect::Key | Expect::KeyOrEnd => self.key(byte)?,
                Expect::AfterValue => self.after_value(byte)?,
            };
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn invalid(&self, byte: u8, context: &'static str) -> SyntaxError {
        SyntaxError::InvalidCharacter { byte, context, offset: self.at + 1 }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn push(&mut self, kind: NodeKind, start: usize) {
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { start: start as u32, end: self.at as u32, next, kind });
    }

    fn value(&mut self, byte: u8) -> Result<Expect, SyntaxError> {
        let start = self.at;
        match byte {
            b'{' | b'[' => {
                if self.open.len() >= MAX_DEPTH {
                    return Err(SyntaxError::TooDeep { byte });
                }
                self.at += 1;
                self.open.push(self.nodes.len() as u32);
                let (kind, next) = if byte == b'{' {
                    (NodeKind::Object, Expect::KeyOrEnd)
                } else {
                    (NodeKind::Array, Expect::ValueOrEnd)
                };
                self.push(kind, start);
                return Ok(next);
            }
            b'"' => self.string()?,
            b'-' | b'0'..=b'9' => {
                self.number(byte)?;
                self.push(NodeKind::Number, start);
            }
            b't' => self.word(
                b"true",
                [
                    "",
                    "in literal true (expecting 'r')",
                    "in literal true (expecting 'u')",
                    "in literal true (expecting 'e')",
                    "",
                ],
                NodeKind::True,
            )?,
            b'f' => self.word(
                b"false",
                [
                    "",
                    "in literal false (expecting 'a')",
                    "in literal false (expecting 'l')",
                    "in literal false (expecting 's')",
                    "in literal false (expecting 'e')",
                ],
                NodeKind::False,
            )?,
            b'n' => self.word(
                b"null",
                [
                    "",
                    "in literal null (expecting 'u')",
                    "in literal null (expecting 'l')",
                    "in literal null (expecting 'l')",
                    "",
                ],
                NodeKind::Null,
            )?,
            _ => return Err(self.invalid(byte, "looking for beginning of value")),
        }
        Ok(Expect::AfterValue)
    }

    fn key(&mut self, byte: u8) -> Result<Expect, SyntaxError> {
        if byte != b'"' {
            return Err(self.invalid(byte, "looking for beginning of object key string"));
        }
        self.string()?;
        self.skip_space();
        match self.peek().ok_or(SyntaxError::UnexpectedEnd)? {
            b':' => self.at += 1,
            byte => return Err(self.invalid(byte, "after object key")),
        }
        Ok(Expect::Value)
    }

    fn after_value(&mut self, byte: u8) -> Result<Expect, SyntaxError> {
        let container = self.open.last().map(|open| self.nodes[*open as usize].kind);
        match (container, byte) {
            (Some(NodeKind::Object), b'}') | (Some(NodeKind::Array), b']') => Ok(self.close()),
            (Some(NodeKind::Object), b',') => {
                self.at += 1;
                Ok(Expect::Key)
            }
            (Some(NodeKind::Array), b',') => {
                self.at += 1;
                Ok(Expect::Value)
            }
            (Some(NodeKind::Object), _) => Err(self.invalid(byte, "after object key:value pair")),
            _ => Err(self.invalid(byte, "after array element")),
        }
    }

    fn close(&mut self) -> Expect {
        self.at += 1;
        if let Some(open) = self.open.pop() {
            let next = self.nodes.len() as u32;
            let node = &mut self.nodes[open as usize];
            node.end = self.at as u32;
            node.next = next;
        }
        Expect::AfterValue
    }

    fn word(&mut self, word: &[u8], contexts: [&'static str; 5], kind: NodeKind) -> Result<(), SyntaxError> {
        let start = self.at;
        for (index, expected) in word.iter().enumerate() {
            match self.peek() {
                None => return Err(SyntaxError::UnexpectedEnd),
                Some(byte) if byte == *expected => self.at += 1,
                Some(byte) => return Err(self.invalid(byte, contexts[index])),
            }
        }
        self.push(kind, start);
        Ok(())
    }

    fn string(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        let mut kind = NodeKind::String;
        self.at += 1;
        loop {
            self.skip_plain();
            match self.peek().ok_or(SyntaxError::UnexpectedEnd)? {
                b'"' => break,
                b'\\' => {
                    kind = NodeKind::EscapedString;
                    self.at += 1;
                    self.escape()?;
                }
                byte @ 0..0x20 => return Err(self.invalid(byte, "in string literal")),
                0x20..0x80 => self.at += 1,
                _ => self.beyond_ascii(&mut kind),
            }
        }
        self.at += 1;
        self.push(kind, start);
        Ok(())
    }

    /// Steps over characters that stand for themselves, eight at once: what strings mostly are.
    fn skip_plain(&mut self) {
        while let Some(block) = self.text.get(self.at..).and_then(|rest| rest.first_chunk()) {
            let special = special(u64::from_le_bytes(*block));
            self.at += special.trailing_zeros() as usize / 8;
            if special != 0 {
                return;
            }
        }
    }

    /// Steps over one character that is not ASCII. A broken one is accepted, as upstream does, and marked for repair.
    fn beyond_ascii(&mut self, kind: &mut NodeKind) {
        let rest = &self.text[self.at..self.text.len().min(self.at + 4)];
        let length = (2..=rest.len()).find(|length| std::str::from_utf8(&rest[..*length]).is_ok());
        if length.is_none() {
            *kind = NodeKind::EscapedString;
        }
        self.at += length.unwrap_or(1);
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        let byte = self.peek().ok_or(SyntaxError::UnexpectedEnd)?;
        match byte {
            b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => self.at += 1,
            b'u' => {
                self.at += 1;
                for _ in 0..4 {
                    let byte = self.peek().ok_or(SyntaxError::UnexpectedEnd)?;
                    if !byte.is_ascii_hexdigit() {
                        return Err(self.invalid(byte, "in \\u hexadecimal character escape"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.invalid(byte, "in string escape code")),
        }
        Ok(())
    }

    fn digits(&mut self, context: &'static str) -> Result<(), SyntaxError> {
        match self.peek() {
            None => return Err(SyntaxError::UnexpectedEnd),
            Some(b'0'..=b'9') => {}
            Some(byte) => return Err(self.invalid(byte, context)),
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self, first: u8) -> Result<(), SyntaxError> {
        if first == b'-' {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(())
    }
}

/// Of eight bytes, the first being the lowest: the top bit of the first control character, quote, backslash or byte beyond
/// ASCII is set, and none below it.
fn special(block: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // A byte below `limit`, and perhaps some above it, to which it lends.
    let below = |bytes: u64, limit: u64| bytes.wrapping_sub(ONES * limit) & !bytes;
    let is = |byte: u8| below(block ^ (ONES * u64::from(byte)), 1);
    (below(block, 0x20) | is(b'"') | is(b'\\') | block) & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use super::special;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_special_byte_is_found(block: [u8; 8], plain: [bool; 8]) {
            let block: [u8; 8] = std::array::from_fn(|at| if plain[at] { b'a' + block[at] % 26 } else { block[at] });
            let is_special = |byte: &u8| !matches!(byte, 0x20..0x80) || matches!(byte, b'"' | b'\\');
            let first = special(u64::from_le_bytes(block)).trailing_zeros() as usize / 8;
            prop_assert_eq!(first, block.iter().position(is_special).unwrap_or(8));
        }
    }
}
