//! Numbers that may be given as a share of another: `GetScaledValueFromIntOrPercent` of apimachinery `util/intstr`.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// The value of `given` out of `total`; `None` for text that is no percentage.
pub(crate) fn scaled(given: &IntOrString, total: i32, round_up: bool) -> Option<i32> {
    match given {
        IntOrString::Int(value) => Some(*value),
        IntOrString::String(text) => {
            let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
            let hundredths = percent * i64::from(total);
            let whole = hundredths.div_euclid(100);
            let up = i64::from(round_up && hundredths.rem_euclid(100) != 0);
            i32::try_from(whole + up).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_as_told() {
        let cases =
            [("25%", 10, true, Some(3)), ("25%", 10, false, Some(2)), ("100%", 7, true, Some(7)), ("x", 7, true, None)];
        for (text, total, up, expected) in cases {
            assert_eq!(scaled(&IntOrString::String(text.into()), total, up), expected, "{text} of {total}");
        }
        assert_eq!(scaled(&IntOrString::Int(4), 1, false), Some(4));
    }
}
