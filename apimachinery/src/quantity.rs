//! Exact numbers with a unit: `500m`, `1536Mi`, `12e6` (k8s.io/apimachinery `pkg/api/resource`).
//!
//! No floating point anywhere. Values are kept to a billionth; what is finer rounds up (away from zero). Sums and
//! numbers past 128 bits saturate, where upstream grows without limit.

mod parse;

use serde_json::Value;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::{AddAssign, Neg, SubAssign};
use std::str::FromStr;

/// How a quantity was written, and so how it prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `12M`
    #[default]
    DecimalSi,
    /// `12Mi`
    BinarySi,
    /// `12e6`
    DecimalExponent,
}

/// `mantissa * 10^scale`; equality and order go by value alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    /// Without factors of ten.
    mantissa: i128,
    scale: i32,
    format: Format,
}

/// Nothing larger is told apart, so that every quantity prints as one that is read as the same.
const MAX_SCALE: i32 = 1_000_000;

/// Why a text is no quantity; the texts are upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    pub const ZERO: Self = Self { mantissa: 0, scale: 0, format: Format::DecimalSi };

    /// `value * 10^scale`.
    pub fn new(value: i64, scale: i32, format: Format) -> Self {
        Self::normal(i128::from(value), scale, format)
    }

    /// A whole number that prints in `format`.
    pub fn from_value(value: i64, format: Format) -> Self {
        Self::new(value, 0, format)
    }

    /// Thousandths, in decimal form.
    pub fn from_milli(value: i64) -> Self {
        Self::new(value, -3, Format::DecimalSi)
    }

    fn normal(mut mantissa: i128, mut scale: i32, format: Format) -> Self {
        if mantissa == 0 {
            return Self { mantissa, scale: 0, format };
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            scale += 1;
        }
        Self { mantissa, scale: scale.min(MAX_SCALE), format }
    }

    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        parse::parse(text).map(|parsed| parsed.quantity)
    }

    /// What upstream writes after reading `text`: the canonical form, or `text` itself where upstream takes it to be
    /// canonical already (it keeps `05`, `+1` and `1E3`, for example).
    pub fn canonicalize(text: &str) -> Result<Cow<'_, str>, QuantityError> {
        let parsed = parse::parse(text)?;
        let printed = || Cow::Owned(parsed.quantity.to_string());
        Ok(if parsed.kept { Cow::Borrowed(text) } else { printed() })
    }

    /// Reads a JSON string or number; null is zero.
    pub fn from_json(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::Null => Ok(Self::ZERO),
            Value::String(text) => Self::parse(text.trim()),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => Err(QuantityError::Format),
        }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    #[must_use]
    pub fn with_format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    pub fn is_zero(&self) -> bool {
        self.mantissa == 0
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        self.mantissa.signum() as i32
    }

    /// The number of units, rounded away from zero and held to 64 bits.
    pub fn value(&self) -> i64 {
        self.scaled_value(0)
    }

    /// The number of thousandths, rounded away from zero and held to 64 bits.
    pub fn milli_value(&self) -> i64 {
        self.scaled_value(-3)
    }

    /// The number of `10^scale`, rounded away from zero and held to 64 bits.
    pub fn scaled_value(&self, scale: i32) -> i64 {
        let value = if self.scale >= scale {
            shift_up(self.mantissa, self.scale - scale).unwrap_or(if self.mantissa < 0 { i128::MIN } else { i128::MAX })
        } else {
            shift_down(self.mantissa, scale - self.scale).0
        };
        i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
    }

    /// The value as a 64-bit integer, if it is one.
    pub fn as_i64(&self) -> Option<i64> {
        if self.scale < 0 {
            return None;
        }
        i64::try_from(shift_up(self.mantissa, self.scale)?).ok()
    }

    /// For ratios and metrics only.
    pub fn as_f64(&self) -> f64 {
        self.mantissa as f64 * 10f64.powi(self.scale)
    }

    /// Rounds away from zero to a multiple of `10^scale`.
    #[must_use]
    pub fn round_up(self, scale: i32) -> Self {
        if self.scale >= scale {
            return self;
        }
        Self::normal(shift_down(self.mantissa, scale - self.scale).0, scale, self.format)
    }

    /// The product, saturating.
    #[must_use]
    pub fn times(self, by: i64) -> Self {
        Self::normal(self.mantissa.saturating_mul(i128::from(by)), self.scale, self.format)
    }

    fn combine(self, other: Self, operation: fn(i128, i128) -> i128) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        let scale = self.scale.min(other.scale);
        let at = |q: Self| {
            shift_up(q.mantissa, q.scale - scale).unwrap_or(if q.mantissa < 0 { i128::MIN } else { i128::MAX })
        };
        Self::normal(operation(at(self), at(other)), scale, format)
    }
}

/// `mantissa * 10^by`, if it fits.
fn shift_up(mantissa: i128, by: i32) -> Option<i128> {
    if mantissa == 0 {
        return Some(0);
    }
    mantissa.checked_mul(10i128.checked_pow(u32::try_from(by).ok()?)?)
}

/// `mantissa / 10^by`, rounded away from zero, and whether that was exact.
fn shift_down(mantissa: i128, by: i32) -> (i128, bool) {
    let Some(divisor) = u32::try_from(by).ok().and_then(|by| 10i128.checked_pow(by)) else {
        return (mantissa.signum(), mantissa == 0);
    };
    let (quotient, rest) = (mantissa / divisor, mantissa % divisor);
    (quotient + rest.signum(), rest == 0)
}

/// A sum takes the other's format when it starts from zero.
impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        *self = self.combine(other, i128::saturating_add);
    }
}

impl SubAssign for Quantity {
    fn sub_assign(&mut self, other: Self) {
        *self = self.combine(other, i128::saturating_sub);
    }
}

impl std::ops::Add for Quantity {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl std::ops::Sub for Quantity {
    type Output = Self;

    fn sub(mut self, other: Self) -> Self {
        self -= other;
        self
    }
}

impl Neg for Quantity {
    type Output = Self;

    fn neg(mut self) -> Self {
        self.mantissa = -self.mantissa;
        self
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, |sum, q| sum + q)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        // Normal forms are unique.
        self.mantissa == other.mantissa && self.scale == other.scale
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.mantissa.signum() != other.mantissa.signum() || self.is_zero() {
            return self.mantissa.signum().cmp(&other.mantissa.signum());
        }
        // Same sign: align to the finer scale; what does not fit then is the larger in magnitude.
        let scale = self.scale.min(other.scale);
        let larger = if self.mantissa > 0 { Ordering::Greater } else { Ordering::Less };
        match (shift_up(self.mantissa, self.scale - scale), shift_up(other.mantissa, other.scale - scale)) {
            (Some(a), Some(b)) => a.cmp(&b),
            (None, _) => larger,
            (_, None) => larger.reverse(),
        }
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        Self::parse(text)
    }
}

/// The canonical form: no fraction, nothing lost, the largest suffix. Sizes that no decimal suffix names print with an
/// exponent.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        if self.format == Format::BinarySi {
            let whole = if self.scale >= 0 { shift_up(self.mantissa, self.scale) } else { None };
            if let Some(mut whole) = whole.filter(|w| w.unsigned_abs() >= 1024) {
                let mut times = 0;
                while times < 6 && whole % 1024 == 0 {
                    whole /= 1024;
                    times += 1;
                }
                return write!(f, "{whole}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][times]);
            }
        }
        let rest = self.scale.rem_euclid(3);
        let exponent = self.scale - rest;
        let zeros = ["", "0", "00"][rest as usize];
        let suffix = match exponent {
            0 => "",
            _ if self.format == Format::DecimalExponent => return write!(f, "{}{zeros}e{exponent}", self.mantissa),
            -9 => "n",
            -6 => "u",
            -3 => "m",
            3 => "k",
            6 => "M",
            9 => "G",
            12 => "T",
            15 => "P",
            18 => "E",
            _ => return write!(f, "{}{zeros}e{exponent}", self.mantissa),
        };
        write!(f, "{}{zeros}{suffix}", self.mantissa)
    }
}

#[cfg(test)]
mod tests;
