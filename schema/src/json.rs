//! JSON as this crate reads and writes it: a flat index over the bytes instead of a tree, and Go's spelling of values.
//!
//! Syntax errors carry upstream's texts, because clients print them and tests compare them.

mod scan;
mod tape;
mod write;

pub use tape::{Children, Members, Node, NodeKind, Tape};
pub(crate) use write::{base64_into, float_into, string_into};

/// Why bytes are not a JSON text. The display form is Go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    #[error("unexpected end of JSON input")]
    UnexpectedEnd,
    /// The byte and what the parser was doing.
    #[error("invalid character {} {context}", quote(*byte))]
    InvalidCharacter { byte: u8, context: &'static str, offset: usize },
    /// Nested deeper than [`MAX_DEPTH`]. Upstream's limit is 10000; nothing real comes near either.
    #[error("invalid character {} exceeded max depth", quote(*byte))]
    TooDeep { byte: u8 },
}

/// How deep arrays and objects may nest. Below serde_json's own limit, so that whatever is accepted can be read back.
pub const MAX_DEPTH: usize = 120;

fn quote(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".into(),
        b'"' => "'\"'".into(),
        b'\\' => "'\\\\'".into(),
        b'\n' => "'\\n'".into(),
        b'\t' => "'\\t'".into(),
        b'\r' => "'\\r'".into(),
        0x07 => "'\\a'".into(),
        0x08 => "'\\b'".into(),
        0x0b => "'\\v'".into(),
        0x0c => "'\\f'".into(),
        0x20..=0x7e => format!("'{}'", char::from(byte)),
        0..0x20 | 0x7f => format!("'\\x{byte:02x}'"),
        // Go prints the byte as the code point of that number; the C1 controls and the soft hyphen are not printable.
        0x80..=0x9f | 0xad => format!("'\\u{byte:04x}'"),
        0xa0 => "'\\u00a0'".into(),
        _ => format!("'{}'", char::from(byte)),
    }
}
