//! Upstream's cases for quantities (k8s.io/apimachinery `pkg/api/resource/quantity_test.go`).

use super::*;
use proptest::prelude::*;

fn q(text: &str) -> Quantity {
    Quantity::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn texts_print_canonically() {
    let cases = [
        ("0", "0"),
        ("0n", "0"),
        ("0Ki", "0"),
        ("-0", "0"),
        (".", "0"),
        ("1Ki", "1Ki"),
        ("8Ki", "8Ki"),
        ("1Ei", "1Ei"),
        ("1025Ki", "1025Ki"),
        ("1024Ki", "1Mi"),
        ("5n", "5n"),
        ("100m", "100m"),
        ("1000m", "1"),
        ("1k", "1k"),
        ("1000", "1k"),
        ("1000k", "1M"),
        ("1E", "1E"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("1E-3", "1e-3"),
        ("100e-1", "10"),
        ("10e4", "100e3"),
        ("0.5", "500m"),
        ("0.001", "1m"),
        ("1.5Gi", "1536Mi"),
        ("1.1Ki", "1126400m"),
        ("0.5Ki", "512"),
        ("0.5Mi", "512Ki"),
        ("0.0001Ki", "102400u"),
        ("100Ki", "100Ki"),
        ("1.2k", "1200"),
        ("3.14159", "3141590u"),
        ("0.0000000001", "1n"),
        ("1.0000000001", "1000000001n"),
        ("-1.0000000001", "-1000000001n"),
        ("1e-99999999", "1e-9"),
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9223372036854775808"),
        ("9999999999999999999Ki", "9223372036854775807"),
        ("9Ei", "9223372036854775807"),
        ("1000000E", "1000000E"),
        ("1000000Ei", "9223372036854775807"),
        ("12345678901234567890123456789012345678901234567890", "1234567890123456789012345678901234567100e9"),
        ("+12Mi", "12Mi"),
        ("-12Mi", "-12Mi"),
        ("0012", "12"),
        ("1.", "1"),
        (".001", "1m"),
    ];
    for (text, printed) in cases {
        if text.len() < 40 && text != "1000000E" {
            assert_eq!(q(text).to_string(), printed, "{text}");
        } else {
            assert_eq!(q(&q(text).to_string()), q(text), "{text}");
        }
    }
}

#[test]
fn what_exceeds_all_measure_prints_as_what_is_read_as_the_same() {
    for text in ["1e9999999999", "-100000000E1000000000", "100e1000000"] {
        assert_eq!(Quantity::parse(&q(text).to_string()), Ok(q(text)), "{text}");
    }
    assert!(q("1e9999999999") > q("1e1000") && q("1e-9999999999") == q("1n"));
}

#[test]
fn upstream_keeps_some_texts_as_they_are() {
    let cases = [
        ("05", "05"),
        ("+1", "+1"),
        ("1E3", "1E3"),
        ("1e3", "1e3"),
        ("5.", "5."),
        ("1000", "1k"),
        ("0.5", "500m"),
        ("8Ki", "8Ki"),
        ("+9Ki", "+9Ki"),
        ("+8Ki", "8Ki"),
        ("1024Ki", "1Mi"),
        ("0", "0"),
    ];
    for (text, printed) in cases {
        assert_eq!(Quantity::canonicalize(text).as_deref(), Ok(printed), "{text}");
    }
}

#[test]
fn bad_texts_are_refused() {
    let cases = [
        ("", QuantityError::Format),
        ("1.1.M", QuantityError::Format),
        ("1+1.0M", QuantityError::Format),
        ("0.1mi", QuantityError::Suffix),
        ("0.1am", QuantityError::Format),
        ("aoeu", QuantityError::Format),
        (".5i", QuantityError::Suffix),
        ("1i", QuantityError::Suffix),
        ("-3.01i", QuantityError::Suffix),
        ("-3.01e-", QuantityError::Suffix),
        (" 1", QuantityError::Format),
        ("1 ", QuantityError::Format),
        ("1é", QuantityError::Format),
        ("-+1", QuantityError::Suffix),
        ("1Kii", QuantityError::Suffix),
    ];
    for (text, error) in cases {
        assert_eq!(Quantity::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn values_round_away_from_zero() {
    let cases = [
        ("100m", 1, 100),
        ("1.2", 2, 1200),
        ("-1.2", -2, -1200),
        ("1Ki", 1024, 1_024_000),
        ("1n", 1, 1),
        ("0", 0, 0),
        ("1E", 1_000_000_000_000_000_000, i64::MAX),
        ("100E", i64::MAX, i64::MAX),
        ("1501u", 1, 2),
    ];
    for (text, value, milli) in cases {
        assert_eq!((q(text).value(), q(text).milli_value()), (value, milli), "{text}");
    }
    assert_eq!((q("5k").as_i64(), q("5m").as_i64()), (Some(5000), None));
    assert_eq!(q("1234567n").round_up(-3), q("2m"));
}

#[test]
fn order_and_arithmetic_go_by_value() {
    let ascending = ["-100E", "-1Ki", "-1", "-1n", "0", "1n", "999m", "1", "1000", "1Ki", "1e30", "1e300"];
    for pair in ascending.windows(2) {
        assert_eq!(q(pair[0]).cmp(&q(pair[1])), Ordering::Less, "{pair:?}");
        assert_eq!(q(pair[1]).cmp(&q(pair[0])), Ordering::Greater, "{pair:?}");
    }
    assert_eq!(q("1024"), q("1Ki"));
    assert_eq!(q("0.5"), q("500m"));
    let sums = [
        ("10", "1m", "10001m", "9999m"),
        ("1Gi", "512Mi", "1536Mi", "512Mi"),
        ("0", "1Ki", "1Ki", "-1Ki"),
        ("1Ki", "0", "1Ki", "1Ki"),
        ("1k", "1Ki", "2024", "-24"),
        ("1Gi", "1Gi", "2Gi", "0"),
        ("1", "1e3", "1001", "-999"),
    ];
    for (a, b, sum, difference) in sums {
        assert_eq!((q(a) + q(b)).to_string(), sum, "{a} + {b}");
        assert_eq!((q(a) - q(b)).to_string(), difference, "{a} - {b}");
    }
    assert_eq!(q("1Mi").times(3).to_string(), "3Mi");
    assert_eq!([q("1"), q("500m")].into_iter().sum::<Quantity>().to_string(), "1500m");
}

#[test]
fn json_numbers_and_strings_are_quantities() {
    use serde_json::json;
    let cases = [(json!(null), "0"), (json!(1.5), "1500m"), (json!(3), "3"), (json!(" 1Gi "), "1Gi")];
    for (value, printed) in cases {
        assert_eq!(Quantity::from_json(&value).map(|q| q.to_string()).as_deref(), Ok(printed));
    }
    assert!(Quantity::from_json(&json!(true)).is_err());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[-+.0-9eEinumkKMGTPé]{0,48}") {
        let _ = Quantity::canonicalize(&text);
    }

    #[test]
    fn printed_quantities_are_read_back(text in "[-+]?[0-9]{0,12}\\.?[0-9]{0,12}(|n|u|m|k|M|G|T|Ki|Mi|Gi|Ti|e[0-9]|E-[0-9])") {
        if let Ok(quantity) = Quantity::parse(&text) {
            let printed = quantity.to_string();
            prop_assert_eq!(Quantity::parse(&printed).map(|q| (q, q.to_string())), Ok((quantity, printed)));
        }
    }

    #[test]
    fn sums_are_exact(a in any::<i64>(), b in any::<i64>(), s in -9i32..3, t in -9i32..3) {
        let (x, y) = (Quantity::new(a, s, Format::DecimalSi), Quantity::new(b, t, Format::DecimalSi));
        prop_assert_eq!(x + y - y, x);
        prop_assert_eq!(x.cmp(&y), (x - y).cmp(&Quantity::ZERO));
    }
}
