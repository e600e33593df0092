//! Scalars in both directions: what a JSON token and a protobuf field say about the same value.

use super::CodecError;
use super::wire::{Reader, Wire, Writer};
use crate::json::{NodeKind, Tape, base64_into, float_into, string_into};
use crate::types::{Field, Scalar};
use apimachinery::time;
use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};

/// The second of Go's zero time, which JSON writes as null and protobuf as an empty message: the start of the year 1.
const ZERO_SECONDS: i64 = -62_135_596_800;

/// The wire type of a scalar.
pub(super) fn wire_kind(scalar: Scalar) -> u8 {
    match scalar {
        Scalar::Bool | Scalar::Int32 | Scalar::Int64 => 0,
        Scalar::Float64 => 1,
        _ => 2,
    }
}

/// Writes a scalar, without tag and length, from a JSON value; null and absent are the zero value.
pub(super) fn from_json(
    out: &mut Writer,
    field: &Field,
    scalar: Scalar,
    tape: &Tape,
    node: Option<usize>,
) -> Result<(), CodecError> {
    let node = node.filter(|node| tape.kind(*node) != NodeKind::Null);
    let wrong = |node: usize, expected| value_error(field, tape, node, expected);
    let text = |node: usize, expected| {
        if tape.is_string(node) { Ok(tape.string(node)) } else { Err(wrong(node, expected)) }
    };
    match (scalar, node) {
        (Scalar::Bool | Scalar::Int32 | Scalar::Int64, None) => out.varint(0),
        (Scalar::Float64, None) => out.bytes(&[0; 8]),
        (Scalar::String | Scalar::Bytes | Scalar::Time | Scalar::MicroTime, None) => {}
        (Scalar::Raw | Scalar::FieldsV1 | Scalar::Json, None) => {}
        (Scalar::Duration, None) => out.varint_field(1, 0),
        (Scalar::Quantity, None) => out.bytes_field(1, b"0"),
        (Scalar::IntOrString, None) => int_or_string(out, 0, None),
        (Scalar::Any, _) => return Err(CodecError::NotInProtobuf(field.json_name().into())),
        (Scalar::String, Some(node)) => out.bytes(text(node, "string")?.as_bytes()),
        (Scalar::Bool, Some(node)) => match tape.kind(node) {
            NodeKind::True => out.varint(1),
            NodeKind::False => out.varint(0),
            _ => return Err(wrong(node, "boolean")),
        },
        (Scalar::Int32, Some(node)) => {
            let value = number::<i32>(tape, node).ok_or_else(|| wrong(node, "int32"))?;
            out.varint(i64::from(value) as u64);
        }
        (Scalar::Int64, Some(node)) => {
            let value = number::<i64>(tape, node).ok_or_else(|| wrong(node, "int64"))?;
            out.varint(value as u64);
        }
        (Scalar::Float64, Some(node)) => {
            out.bytes(&number::<f64>(tape, node).ok_or_else(|| wrong(node, "number"))?.to_bits().to_le_bytes());
        }
        (Scalar::Bytes, Some(node)) => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(text(node, "base64")?.as_bytes());
            out.bytes(&decoded.map_err(|_| wrong(node, "base64"))?);
        }
        (Scalar::Time, Some(node)) => {
            let time = time::parse_time(&text(node, "time")?).map_err(|_| wrong(node, "time"))?;
            timestamp(out, time.as_second(), 0);
        }
        (Scalar::MicroTime, Some(node)) => {
            let time = time::parse_micro_time(&text(node, "time")?).map_err(|_| wrong(node, "time"))?;
            let nanos = time.as_nanosecond();
            timestamp(out, nanos.div_euclid(1_000_000_000) as i64, nanos.rem_euclid(1_000_000_000) as u32);
        }
        (Scalar::Duration, Some(node)) => {
            let span = time::parse_go_duration(&text(node, "duration")?).map_err(|_| wrong(node, "duration"))?;
            out.varint_field(1, span.as_nanos() as i64 as u64);
        }
        (Scalar::Quantity, Some(node)) if tape.is_string(node) => out.bytes_field(1, tape.string(node).as_bytes()),
        (Scalar::Quantity, Some(node)) if tape.kind(node) == NodeKind::Number => out.bytes_field(1, tape.text(node)),
        (Scalar::Quantity, Some(node)) => return Err(wrong(node, "quantity")),
        (Scalar::IntOrString, Some(node)) if tape.is_string(node) => int_or_string(out, 0, Some(&tape.string(node))),
        (Scalar::IntOrString, Some(node)) => {
            let value = number::<i32>(tape, node).ok_or_else(|| wrong(node, "int32 or string"))?;
            int_or_string(out, value, None);
        }
        (Scalar::Raw | Scalar::FieldsV1 | Scalar::Json, Some(node)) => out.bytes_field(1, tape.text(node)),
    }
    Ok(())
}

/// The message of an `IntOrString`: a string has type 1, and the part that is not used is written as zero.
fn int_or_string(out: &mut Writer, number: i32, text: Option<&str>) {
    out.bytes_field(3, text.unwrap_or_default().as_bytes());
    out.varint_field(2, i64::from(number) as u64);
    out.varint_field(1, u64::from(text.is_some()));
}

fn timestamp(out: &mut Writer, seconds: i64, nanos: u32) {
    if (seconds, nanos) != (ZERO_SECONDS, 0) {
        out.varint_field(2, u64::from(nanos));
        out.varint_field(1, seconds as u64);
    }
}

fn number<T: std::str::FromStr>(tape: &Tape, node: usize) -> Option<T> {
    if tape.kind(node) == NodeKind::Number { tape.number(node).parse().ok() } else { None }
}

pub(super) fn value_error(field: &Field, tape: &Tape, node: usize, expected: &'static str) -> CodecError {
    let shown = &tape.text(node)[..tape.text(node).len().min(60)];
    CodecError::Value { field: field.json_name().into(), value: String::from_utf8_lossy(shown).into_owned(), expected }
}

/// Writes the JSON of a scalar that stands on the wire; absent is the zero value.
pub(super) fn to_json(out: &mut Vec<u8>, field: &Field, scalar: Scalar, wire: Option<Wire>) -> Result<(), CodecError> {
    let problem = |problem: &str| CodecError::Field { field: field.json_name().into(), problem: problem.into() };
    let bytes = || Ok::<_, CodecError>(wire.map(Wire::bytes).transpose()?.unwrap_or_default());
    match scalar {
        Scalar::String => string_into(out, utf8(field, bytes()?)?),
        Scalar::Bool => {
            let value = wire.map(Wire::varint).transpose()?.unwrap_or(0) != 0;
            out.extend_from_slice(if value { b"true" } else { b"false" });
        }
        Scalar::Int32 => {
            let value = wire.map(Wire::varint).transpose()?.unwrap_or(0) as i32;
            out.extend_from_slice(value.to_string().as_bytes());
        }
        Scalar::Int64 => {
            let value = wire.map(Wire::varint).transpose()?.unwrap_or(0) as i64;
            out.extend_from_slice(value.to_string().as_bytes());
        }
        Scalar::Float64 => {
            let value = wire.map(Wire::float).transpose()?.unwrap_or(0.0);
            if !value.is_finite() {
                return Err(problem("the number is not finite"));
            }
            float_into(out, value);
        }
        Scalar::Bytes => base64_into(out, bytes()?),
        Scalar::Time | Scalar::MicroTime => {
            let (seconds, nanos) = moment(bytes()?)?;
            if seconds == ZERO_SECONDS && (nanos == 0 || scalar == Scalar::Time) {
                out.extend_from_slice(b"null");
            } else {
                let nanos = if scalar == Scalar::Time { 0 } else { nanos };
                let time = Timestamp::new(seconds, nanos as i32).ok().filter(|_| seconds > ZERO_SECONDS);
                let time = time.ok_or_else(|| problem("the time is out of range"))?;
                let text = if scalar == Scalar::Time { time::format_time(time) } else { time::format_micro_time(time) };
                string_into(out, &text);
            }
        }
        Scalar::Duration => {
            let nanos = last(bytes()?, 1)?.map(Wire::varint).transpose()?.unwrap_or(0) as i64;
            string_into(out, &time::format_go_duration(SignedDuration::from_nanos(nanos)));
        }
        Scalar::Quantity => {
            let inner = last(bytes()?, 1)?.map(Wire::bytes).transpose()?.unwrap_or(b"0");
            string_into(out, utf8(field, inner)?);
        }
        Scalar::IntOrString => int_or_string_to_json(out, field, bytes()?)?,
        Scalar::Raw | Scalar::FieldsV1 | Scalar::Json => {
            let raw = last(bytes()?, 1)?.map(Wire::bytes).transpose()?.unwrap_or_default();
            if raw.is_empty() {
                out.extend_from_slice(b"null");
            } else {
                Tape::parse(raw).map_err(|error| problem(&error.to_string()))?;
                out.extend_from_slice(raw.trim_ascii());
            }
        }
        Scalar::Any => return Err(problem("the field is not in protobuf")),
    }
    Ok(())
}

fn int_or_string_to_json(out: &mut Vec<u8>, field: &Field, message: &[u8]) -> Result<(), CodecError> {
    match last(message, 1)?.map(Wire::varint).transpose()?.unwrap_or(0) {
        0 => {
            let value = last(message, 2)?.map(Wire::varint).transpose()?.unwrap_or(0) as i32;
            out.extend_from_slice(value.to_string().as_bytes());
        }
        1 => {
            let text = last(message, 3)?.map(Wire::bytes).transpose()?.unwrap_or_default();
            string_into(out, utf8(field, text)?);
        }
        _ => {
            let problem = "impossible IntOrString.Type".into();
            return Err(CodecError::Field { field: field.json_name().into(), problem });
        }
    }
    Ok(())
}

/// Whether Go leaves the value out under `omitempty` (`omitzero` for times).
pub(super) fn is_zero(field: &Field, scalar: Scalar, wire: Wire) -> Result<bool, CodecError> {
    Ok(match scalar {
        Scalar::String | Scalar::Bytes => field.omit_empty() && wire.bytes()?.is_empty(),
        Scalar::Bool => field.omit_empty() && wire.varint()? == 0,
        Scalar::Int32 => field.omit_empty() && wire.varint()? as i32 == 0,
        Scalar::Int64 => field.omit_empty() && wire.varint()? == 0,
        Scalar::Float64 => field.omit_empty() && wire.float()? == 0.0,
        Scalar::Time | Scalar::MicroTime => field.omit_zero() && moment(wire.bytes()?)?.0 == ZERO_SECONDS,
        _ => false,
    })
}

/// Whether an absent plain scalar is left out.
pub(super) fn absent_is_omitted(field: &Field, scalar: Scalar) -> bool {
    match scalar {
        Scalar::String | Scalar::Bytes | Scalar::Bool | Scalar::Int32 | Scalar::Int64 | Scalar::Float64 => {
            field.omit_empty()
        }
        Scalar::Time | Scalar::MicroTime => field.omit_zero(),
        _ => false,
    }
}

/// Seconds and nanoseconds of a `Timestamp`; an empty one is the zero time.
fn moment(message: &[u8]) -> Result<(i64, u32), CodecError> {
    if message.is_empty() {
        return Ok((ZERO_SECONDS, 0));
    }
    let seconds = last(message, 1)?.map(Wire::varint).transpose()?.unwrap_or(0) as i64;
    let nanos = last(message, 2)?.map(Wire::varint).transpose()?.unwrap_or(0);
    Ok((seconds, u32::try_from(nanos).unwrap_or(0) % 1_000_000_000))
}

/// The last field of that number in a message.
pub(super) fn last(message: &[u8], number: u32) -> Result<Option<Wire<'_>>, CodecError> {
    let mut reader = Reader::new(message);
    let mut found = None;
    while let Some((candidate, wire)) = reader.field()? {
        if candidate == number {
            found = Some(wire);
        }
    }
    Ok(found)
}

pub(super) fn utf8<'a>(field: &Field, bytes: &'a [u8]) -> Result<&'a str, CodecError> {
    std::str::from_utf8(bytes)
        .map_err(|_| CodecError::Field { field: field.json_name().into(), problem: "the text is not UTF-8".into() })
}
