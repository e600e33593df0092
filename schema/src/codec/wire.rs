//! Protobuf's wire format: a reader over bytes, and a writer that fills its buffer from the end.
//!
//! Writing backwards means that a message's length is known when its prefix is due, as in upstream's generated code.

use bytes::Bytes;

/// Why bytes are not a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("unexpected EOF")]
    Truncated,
    #[error("integer overflow")]
    Overflow,
    #[error("illegal tag {0} (wire type {1})")]
    IllegalTag(u64, u8),
    #[error("wrong wireType = {0}")]
    WrongWireType(u8),
}

/// One value as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    pub(super) fn kind(self) -> u8 {
        match self {
            Self::Varint(_) => 0,
            Self::Fixed64(_) => 1,
            Self::Bytes(_) => 2,
            Self::Fixed32(_) => 5,
        }
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], WireError> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(WireError::WrongWireType(self.kind())) }
    }

    pub(super) fn varint(self) -> Result<u64, WireError> {
        if let Self::Varint(value) = self { Ok(value) } else { Err(WireError::WrongWireType(self.kind())) }
    }

    pub(super) fn float(self) -> Result<f64, WireError> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            Self::Fixed32(bits) => Ok(f64::from(f32::from_bits(bits))),
            _ => Err(WireError::WrongWireType(self.kind())),
        }
    }
}

pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().enumerate() {
            if index >= 10 {
                return Err(WireError::Overflow);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() >= 10 { WireError::Overflow } else { WireError::Truncated })
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next field, or `None` at the end. Groups are stepped over.
    pub(super) fn field(&mut self) -> Result<Option<(u32, Wire<'a>)>, WireError> {
        let mut groups = 0u32;
        while !self.rest.is_empty() {
            let tag = self.varint()?;
            let kind = (tag & 7) as u8;
            let number = u32::try_from(tag >> 3).ok().filter(|number| *number != 0 && *number < 1 << 29);
            let number = number.ok_or(WireError::IllegalTag(tag >> 3, kind))?;
            let wire = match kind {
                0 => Wire::Varint(self.varint()?),
                1 => Wire::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| WireError::Truncated)?)),
                2 => {
                    let length = self.varint()?;
                    Wire::Bytes(self.take(length)?)
                }
                5 => Wire::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().map_err(|_| WireError::Truncated)?)),
                3 => {
                    groups += 1;
                    continue;
                }
                4 if groups > 0 => {
                    groups -= 1;
                    continue;
                }
                _ => return Err(WireError::IllegalTag(u64::from(number), kind)),
            };
            if groups == 0 {
                return Ok(Some((number, wire)));
            }
        }
        if groups == 0 { Ok(None) } else { Err(WireError::Truncated) }
    }
}

/// A buffer that grows towards its front.
pub(super) struct Writer {
    buffer: Vec<u8>,
    start: usize,
}

impl Writer {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { buffer: vec![0; capacity], start: capacity }
    }

    /// Bytes written so far; the difference of two lengths is what stands between.
    pub(super) fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.buffer.drain(..self.start);
        self.buffer
    }

    /// As [`Self::into_bytes`], without moving them; the room before them stays taken.
    pub(super) fn into_shared(self) -> Bytes {
        Bytes::from(self.buffer).slice(self.start..)
    }

    fn grow(&mut self, room: usize) {
        let grow = self.buffer.len().max(room).max(64);
        let mut larger = vec![0; self.buffer.len() + grow];
        larger[self.start + grow..].copy_from_slice(&self.buffer[self.start..]);
        self.buffer = larger;
        self.start += grow;
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if self.start < bytes.len() {
            self.grow(bytes.len());
        }
        self.start -= bytes.len();
        self.buffer[self.start..self.start + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn varint(&mut self, mut value: u64) {
        if value < 0x80 {
            return self.bytes(&[value as u8]);
        }
        let mut encoded = [0u8; 10];
        let mut length = 0;
        while value >= 0x80 {
            encoded[length] = (value as u8 & 0x7f) | 0x80;
            value >>= 7;
            length += 1;
        }
        encoded[length] = value as u8;
        self.bytes(&encoded[..=length]);
    }

    pub(super) fn tag(&mut self, number: u32, kind: u8) {
        self.varint(u64::from(number) << 3 | u64::from(kind));
    }

    /// Puts the length and the tag before everything written since `mark`, which becomes one field.
    pub(super) fn enclose(&mut self, number: u32, mark: usize) {
        self.varint((self.len() - mark) as u64);
        self.tag(number, 2);
    }

    pub(super) fn bytes_field(&mut self, number: u32, bytes: &[u8]) {
        let mark = self.len();
        self.bytes(bytes);
        self.enclose(number, mark);
    }

    pub(super) fn varint_field(&mut self, number: u32, value: u64) {
        self.varint(value);
        self.tag(number, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn broken_messages_are_named() {
        let cases: &[(&[u8], WireError)] = &[
            (&[0x08], WireError::Truncated),
            (&[0x08, 0x80], WireError::Truncated),
            (&[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1], WireError::Overflow),
            (&[0x0a, 0x05, 1], WireError::Truncated),
            (&[0x00], WireError::IllegalTag(0, 0)),
            (&[0x0c], WireError::IllegalTag(1, 4)),
            (&[0x0b, 0x08, 0x01], WireError::Truncated),
            (&[0x0f], WireError::IllegalTag(1, 7)),
        ];
        for (bytes, want) in cases {
            let mut reader = Reader::new(bytes);
            let got = loop {
                match reader.field() {
                    Ok(Some(_)) => {}
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            assert_eq!(got, Some(*want), "{bytes:?}");
        }
    }

    #[test]
    fn groups_are_stepped_over() {
        let mut reader = Reader::new(&[0x0b, 0x08, 0x01, 0x0c, 0x10, 0x07]);
        assert_eq!(reader.field(), Ok(Some((2, Wire::Varint(7)))));
        assert_eq!(reader.field(), Ok(None));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(values in proptest::collection::vec((1u32..100_000, any::<u64>()), 0..50)) {
            let mut writer = Writer::with_capacity(0);
            for (number, value) in values.iter().rev() {
                writer.varint_field(*number, *value);
            }
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes);
            for (number, value) in values {
                prop_assert_eq!(reader.field(), Ok(Some((number, Wire::Varint(value)))));
            }
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut reader = Reader::new(&bytes);
            while let Ok(Some(_)) = reader.field() {}
        }
    }
}
