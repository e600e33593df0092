//! Just enough DER to write certificates and keys.
//!
//! Written by hand because the certificate libraries keep a subject as a map and so drop all but one organization,
//! and organizations are a client certificate's groups. It only writes; reading is left to `x509-parser`.

pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const NULL: u8 = 0x05;
pub const OID: u8 = 0x06;
pub const UTF8_STRING: u8 = 0x0c;
pub const UTC_TIME: u8 = 0x17;
pub const GENERALIZED_TIME: u8 = 0x18;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;

/// `[n]`, primitive.
pub const fn context(n: u8) -> u8 {
    0x80 | n
}

/// `[n]`, constructed.
pub const fn explicit(n: u8) -> u8 {
    0xa0 | n
}

/// One element: tag, length, the parts one after the other.
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|p| p.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let skip = bytes.iter().take_while(|b| **b == 0).count();
        out.push(0x80 | (bytes.len() - skip) as u8);
        out.extend_from_slice(&bytes[skip..]);
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, parts)
}

/// A bit string without unused bits.
pub fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes])
}

/// A non-negative integer from big-endian bytes, with leading zeros taken away or added as DER asks.
pub fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let skip = bytes.iter().take_while(|b| **b == 0).count();
    match &bytes[skip..] {
        [] => element(INTEGER, &[&[0]]),
        rest if rest[0] & 0x80 != 0 => element(INTEGER, &[&[0], rest]),
        rest => element(INTEGER, &[rest]),
    }
}

/// An object identifier from its arcs; the first two must be those of a real one.
pub fn oid(arcs: &[u32]) -> Vec<u8> {
    let mut body = Vec::with_capacity(arcs.len() + 4);
    let head = arcs.first().copied().unwrap_or(0) * 40 + arcs.get(1).copied().unwrap_or(0);
    for arc in std::iter::once(head).chain(arcs.iter().skip(2).copied()) {
        let groups = (32 - arc.leading_zeros()).div_ceil(7).max(1);
        for group in (0..groups).rev() {
            let more = if group > 0 { 0x80 } else { 0 };
            body.push(((arc >> (7 * group)) & 0x7f) as u8 | more);
        }
    }
    element(OID, &[&body])
}

/// A time of a certificate: two-digit years until 2049, four digits afterwards (RFC 5280, 4.1.2.5).
pub fn time(at: jiff::Timestamp) -> Vec<u8> {
    let year: u16 = at.strftime("%Y").to_string().parse().unwrap_or(9999);
    if (1950..2050).contains(&year) {
        element(UTC_TIME, &[at.strftime("%y%m%d%H%M%SZ").to_string().as_bytes()])
    } else {
        element(GENERALIZED_TIME, &[at.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_written_as_the_standard_says() {
        let cases: [(Vec<u8>, &[u8]); 7] = [
            (unsigned(&[0, 0]), &[2, 1, 0]),
            (unsigned(&[0x80]), &[2, 2, 0, 0x80]),
            (unsigned(&[0, 1, 2]), &[2, 2, 1, 2]),
            (oid(&[2, 5, 4, 3]), &[6, 3, 0x55, 4, 3]),
            (oid(&[1, 2, 840, 113_549]), &[6, 6, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]),
            (bit_string(&[1]), &[3, 2, 0, 1]),
            (element(NULL, &[]), &[5, 0]),
        ];
        for (got, wanted) in cases {
            assert_eq!(got, wanted);
        }
        assert_eq!(element(OCTET_STRING, &[&[7; 300]])[..4], [4, 0x82, 1, 0x2c]);
    }

    #[test]
    fn years_from_2050_have_four_digits() {
        assert_eq!(&time("2049-12-31T23:59:59Z".parse().unwrap())[2..], b"491231235959Z");
        assert_eq!(&time("2050-01-01T00:00:00Z".parse().unwrap())[2..], b"20500101000000Z");
    }
}
