//! Reading quantities, with the same leniency as upstream (`.`, `+` and `Ki` are zero).

use super::{Format, MAX_SCALE, Quantity, QuantityError, shift_down};

/// Quantities are kept to a billionth.
const NANO: i32 = -9;

pub(super) struct Parsed {
    pub quantity: Quantity,
    /// Upstream remembers the text instead of printing the value.
    pub kept: bool,
}

struct Parts<'a> {
    negative: bool,
    /// Digits before the point, without leading zeros, but at least one.
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

fn split(text: &str) -> Result<Parts<'_>, QuantityError> {
    let negative = text.starts_with('-');
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let stripped = rest.trim_start_matches('0');
    let (whole, rest) = stripped.split_at(digits(stripped));
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    let letters = suffix.bytes().take_while(|b| b"eEinumkKMGTP".contains(b)).count();
    let exponent = &suffix[letters..];
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if !exponent.bytes().all(|b| b.is_ascii_digit()) {
        return Err(QuantityError::Format);
    }
    Ok(Parts { negative, whole: if whole.is_empty() { "0" } else { whole }, fraction, suffix })
}

/// The format of a suffix and its power: of ten, or of two for binary ones.
fn interpret(suffix: &str) -> Option<(Format, i32)> {
    let decimal = |power| Some((Format::DecimalSi, power));
    let binary = |power| Some((Format::BinarySi, power));
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let power: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let most = i64::from(2 * MAX_SCALE);
            Some((Format::DecimalExponent, power.clamp(-most, most) as i32))
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Parsed, QuantityError> {
    if text.is_empty() {
        return Err(QuantityError::Format);
    }
    let parts = split(text)?;
    let (format, power) = interpret(parts.suffix).ok_or(QuantityError::Suffix)?;
    let (magnitude, format) = match format {
        Format::BinarySi => binary(&parts, power),
        _ => (decimal(&parts, power), format),
    };
    let quantity = if parts.negative { -magnitude } else { magnitude }.with_format(format);
    Ok(Parsed { quantity, kept: text == "0" || kept(&parts, format, power) })
}

fn decimal(parts: &Parts<'_>, power: i32) -> Quantity {
    let fraction = parts.fraction.trim_end_matches('0');
    let mut scale = power - fraction.len().min(MAX_SCALE as usize) as i32;
    let mut digits: Vec<u8> = [parts.whole, fraction].concat().trim_start_matches('0').bytes().collect();
    // More digits than 128 bits hold are dropped; a last digit says that something was there.
    let mut inexact = false;
    while digits.len() > 37 {
        inexact |= digits.pop() != Some(b'0');
        scale += 1;
    }
    let mantissa = digits.iter().fold(0i128, |n, b| n * 10 + i128::from(b - b'0'));
    let (mantissa, scale) = if inexact { (mantissa * 10 + 1, scale - 1) } else { (mantissa, scale) };
    rounded(mantissa, scale, Format::DecimalSi)
}

/// Rounds up what is finer than a billionth: asking for a little must give at least something.
fn rounded(mantissa: i128, scale: i32, format: Format) -> Quantity {
    if scale >= NANO {
        return Quantity::normal(mantissa, scale, format);
    }
    Quantity::normal(shift_down(mantissa, NANO - scale).0, NANO, format)
}

/// Binary quantities are capped at 64 bits, and those below one become decimal.
fn binary(parts: &Parts<'_>, power: i32) -> (Quantity, Format) {
    let capped = Quantity::from_value(i64::MAX, Format::BinarySi);
    let factor = 1i128 << power;
    let kept = parts.fraction.len().min(18);
    let (fraction, rest) = parts.fraction.split_at(kept);
    let padded = format!("{fraction:0<18}");
    let Ok(whole) = parts.whole.parse::<i64>() else { return (capped, Format::BinarySi) };
    let whole = i128::from(whole) * factor;
    if whole > i128::from(i64::MAX) {
        return (capped, Format::BinarySi);
    }
    // Both terms stay below 10^37: the fraction has 18 digits and the factor is at most 2^60.
    let mut atto = whole * 10i128.pow(18) + padded.parse::<i128>().unwrap_or(0) * factor;
    if rest.bytes().any(|b| b != b'0') {
        atto += 1;
    }
    let value = rounded(atto, -18, Format::BinarySi);
    let below_one = !value.is_zero() && value < Quantity::from_value(1, Format::BinarySi);
    (value.min(capped), if below_one { Format::DecimalSi } else { Format::BinarySi })
}

/// Whether upstream's fast path takes the text for canonical.
fn kept(parts: &Parts<'_>, format: Format, power: i32) -> bool {
    let digits = (parts.whole.len() + parts.fraction.len()) as i32;
    let shifted = [parts.whole, parts.fraction].concat();
    let Ok(value) = shifted.parse::<i64>() else { return false };
    if format == Format::BinarySi {
        let precise = parts.fraction.is_empty() && 15 - digits - power * 3 / 10 > 0;
        return precise && power % 10 == 0 && value & 7 != 0;
    }
    let scale = power - parts.fraction.len() as i32;
    digits <= 18
        && interpret(parts.suffix).is_some_and(|(read, _)| read == format)
        && scale >= NANO
        && scale % 3 == 0
        && !shifted.ends_with("000")
        && !shifted.starts_with('0')
}
