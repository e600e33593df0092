//! Single values: Go's reading of a JSON token into a scalar, its zero, and when Go leaves it out.

use super::typed::Decoder;
use crate::json::{NodeKind, Tape};
use crate::types::{Field, Scalar, Shape};
use apimachinery::quantity::Quantity;
use apimachinery::time;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Number, Value};

/// Go's reader: padding is required, stray bits in the last character are not looked at.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

pub(super) enum Problem {
    /// Wrong type: what was found, as Go names it.
    Mismatch(String),
    /// Another error that lets the walk go on.
    Noted(String),
    /// The value's own reader refused it.
    Refused(String),
}

/// How Go names what it found in the text.
pub(super) fn kind_word(tape: &Tape, node: usize) -> String {
    match tape.kind(node) {
        NodeKind::Null => "null",
        NodeKind::True | NodeKind::False => "bool",
        NodeKind::Number => "number",
        NodeKind::String | NodeKind::EscapedString => "string",
        NodeKind::Array => "array",
        NodeKind::Object => "object",
    }
    .into()
}

/// The Go type of a shape without a name of its own.
pub(super) fn go_shape(shape: Shape) -> String {
    match shape {
        Shape::Message(t) => t.go_name(),
        Shape::Pointer(inner) => format!("*{}", go_shape(inner.get())),
        Shape::List(inner) | Shape::Wrapped(inner) => format!("[]{}", go_shape(inner.get())),
        Shape::Map(inner) => format!("map[string]{}", go_shape(inner.get())),
        Shape::Scalar(scalar) => match scalar {
            Scalar::Bool => "bool",
            Scalar::Int32 => "int32",
            Scalar::Int64 => "int64",
            Scalar::Float64 => "float64",
            Scalar::Bytes => "[]uint8",
            Scalar::Quantity => "resource.Quantity",
            Scalar::IntOrString => "intstr.IntOrString",
            Scalar::Time => "v1.Time",
            Scalar::MicroTime => "v1.MicroTime",
            Scalar::Raw => "runtime.RawExtension",
            Scalar::FieldsV1 => "v1.FieldsV1",
            Scalar::Json => "v1.JSON",
            Scalar::String | Scalar::Duration | Scalar::Any => "string",
        }
        .into(),
    }
}

/// Types that upstream hands a null to when they are no pointers.
pub(super) fn reads_null(shape: Shape) -> bool {
    match shape {
        Shape::Scalar(Scalar::Duration) => true,
        Shape::Message(t) => t.form() == crate::types::Form::SchemaOrBool,
        _ => false,
    }
}

pub(super) fn zero(scalar: Scalar) -> Value {
    match scalar {
        Scalar::String => Value::String(String::new()),
        Scalar::Bool => Value::Bool(false),
        Scalar::Int32 | Scalar::Int64 | Scalar::Float64 | Scalar::IntOrString => Value::from(0),
        Scalar::Duration => Value::String("0s".into()),
        Scalar::Quantity => Value::String("0".into()),
        Scalar::Bytes | Scalar::Time | Scalar::MicroTime => Value::Null,
        Scalar::Raw | Scalar::FieldsV1 | Scalar::Json | Scalar::Any => Value::Null,
    }
}

/// Whether Go leaves a plain member of that value out.
pub(super) fn is_omitted(field: &Field, value: &Value) -> bool {
    if field.omit_zero() && value.is_null() {
        return true;
    }
    if !field.omit_empty() {
        return false;
    }
    match (field.shape(), value) {
        (Shape::List(_) | Shape::Wrapped(_) | Shape::Map(_), Value::Null) => true,
        (Shape::Scalar(Scalar::String), Value::String(text)) => text.is_empty(),
        (Shape::Scalar(Scalar::Bytes), Value::String(text)) => text.is_empty(),
        (Shape::Scalar(Scalar::Bytes | Scalar::Any), Value::Null) => true,
        (Shape::Scalar(Scalar::Bool), value) => *value == Value::Bool(false),
        (Shape::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::Float64), value) => value.as_f64() == Some(0.0),
        _ => false,
    }
}

pub(super) fn read(walk: &mut Decoder, scalar: Scalar, node: usize) -> Result<Value, Problem> {
    let tape = walk.tape;
    let mismatch = || Problem::Mismatch(kind_word(tape, node));
    // The value's own reader reads a Go string first; its complaint gets the path from the walk around it.
    let own_text = |walk: &Decoder| {
        if tape.is_string(node) {
            Ok(tape.string(node).into_owned())
        } else {
            Err(Problem::Refused(walk.mismatch_text(&kind_word(tape, node), "string")))
        }
    };
    match scalar {
        Scalar::String if tape.is_string(node) => Ok(Value::String(tape.string(node).into_owned())),
        Scalar::Bool if matches!(tape.kind(node), NodeKind::True | NodeKind::False) => {
            Ok(Value::Bool(tape.kind(node) == NodeKind::True))
        }
        Scalar::Int32 if tape.kind(node) == NodeKind::Number => integer::<i32>(tape, node),
        Scalar::Int64 if tape.kind(node) == NodeKind::Number => integer::<i64>(tape, node),
        Scalar::Float64 if tape.kind(node) == NodeKind::Number => Ok(number(tape.number(node))),
        Scalar::Bytes if tape.is_string(node) => bytes(&tape.string(node)),
        Scalar::String | Scalar::Bool | Scalar::Int32 | Scalar::Int64 | Scalar::Float64 | Scalar::Bytes => {
            Err(mismatch())
        }
        Scalar::Time => {
            let parsed = time::parse_time(&own_text(walk)?).map_err(|error| Problem::Refused(error.to_string()))?;
            Ok(printed(parsed, time::format_time(parsed)))
        }
        Scalar::MicroTime => {
            let parsed =
                time::parse_micro_time(&own_text(walk)?).map_err(|error| Problem::Refused(error.to_string()))?;
            Ok(printed(parsed, time::format_micro_time(parsed)))
        }
        Scalar::Duration => {
            let text = if tape.kind(node) == NodeKind::Null { String::new() } else { own_text(walk)? };
            let span = time::parse_go_duration(&text).map_err(|error| Problem::Refused(error.to_string()))?;
            Ok(Value::String(time::format_go_duration(span)))
        }
        Scalar::Quantity => {
            let text = if tape.is_string(node) { tape.string(node) } else { String::from_utf8_lossy(tape.text(node)) };
            let parsed = Quantity::parse(text.trim()).map_err(|error| Problem::Refused(error.to_string()))?;
            Ok(Value::String(parsed.to_string()))
        }
        Scalar::IntOrString if tape.is_string(node) => Ok(Value::String(tape.string(node).into_owned())),
        Scalar::IntOrString => {
            let value = if tape.kind(node) == NodeKind::Number { integer::<i32>(tape, node) } else { Err(mismatch()) };
            value.map_err(|problem| match problem {
                Problem::Mismatch(found) => Problem::Refused(walk.mismatch_text(&found, "int32")),
                other => other,
            })
        }
        Scalar::Raw | Scalar::FieldsV1 | Scalar::Json | Scalar::Any => Ok(walk.verbatim(node)),
    }
}

/// Go's zero time is written as null.
fn printed(time: jiff::Timestamp, text: String) -> Value {
    if time.as_second() == -62_135_596_800 && time.subsec_nanosecond() == 0 { Value::Null } else { Value::String(text) }
}

fn integer<T: std::str::FromStr + Into<i64>>(tape: &Tape, node: usize) -> Result<Value, Problem> {
    let text = tape.number(node);
    text.parse::<T>().map(|value| Value::from(value.into())).map_err(|_| Problem::Mismatch(format!("number {text}")))
}

/// A number as Go keeps it: an integer if it fits 64 bits and has no point, else a float, printed without a point when
/// it is whole.
pub(super) fn number(text: &str) -> Value {
    if let Ok(whole) = text.parse::<i64>() {
        return Value::from(whole);
    }
    let float: f64 = text.parse().unwrap_or(0.0);
    if float.fract() == 0.0 && float.abs() < 9e15 {
        return Value::from(float as i64);
    }
    Number::from_f64(float).map_or(Value::Null, Value::Number)
}

fn bytes(text: &str) -> Result<Value, Problem> {
    let stripped: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let decoded = BASE64.decode(&stripped).map_err(|error| {
        let offset = match error {
            // After padding Go names the first byte that is too much.
            base64::DecodeError::InvalidByte(offset, b'=') if offset % 4 >= 2 => {
                offset + stripped[offset..].iter().take_while(|byte| **byte == b'=').count()
            }
            base64::DecodeError::InvalidByte(offset, _) | base64::DecodeError::InvalidLastSymbol(offset, _) => offset,
            base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => stripped.len() / 4 * 4,
        };
        Problem::Noted(format!("illegal base64 data at input byte {offset}"))
    })?;
    Ok(Value::String(base64::engine::general_purpose::STANDARD.encode(decoded)))
}
