//! Quantities, one or two on a line each: the printed form, the arithmetic and the order.

use apimachinery::quantity::Quantity;

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (first, second) = text.split_once('\n').unwrap_or((text, "1500m"));
    let (Ok(a), Ok(b)) = (Quantity::parse(first), Quantity::parse(second)) else { return };
    for (text, quantity) in [(first, a), (second, b)] {
        printed(text, quantity);
        whole(quantity);
    }
    assert_eq!(a.cmp(&b), (a - b).sign().cmp(&0), "{first} - {second} = {}", a - b);
    assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
    assert_eq!((-a).cmp(&-b), b.cmp(&a));
    assert_eq!(a + b, b + a);
}

/// The canonical form says the same. It need not be canonical itself: `937.5Ki` is `960000` and that is `960k`, for upstream
/// too. But this ends there.
fn printed(text: &str, quantity: Quantity) {
    let mut canonical = Quantity::canonicalize(text).expect("it was read").into_owned();
    for _ in 0..2 {
        assert_eq!(Quantity::parse(&canonical), Ok(quantity), "{text}: {canonical}");
        canonical = Quantity::canonicalize(&canonical).expect("it was printed").into_owned();
    }
    assert_eq!(Quantity::canonicalize(&canonical).as_deref(), Ok(&*canonical), "{text}");
    let printed = quantity.to_string();
    assert_eq!(Quantity::parse(&printed), Ok(quantity), "{text}: {printed}");
}

/// Whole numbers of units and of thousandths are never less in magnitude than the quantity.
fn whole(quantity: Quantity) {
    if let Some(value) = quantity.as_i64() {
        assert!(quantity.value() == value && Quantity::from_value(value, quantity.format()) == quantity);
    }
    for (rounded, limits) in [
        (quantity.round_up(0), i64::MAX == quantity.value() || i64::MIN == quantity.value()),
        (quantity.round_up(-3), i64::MAX == quantity.milli_value() || i64::MIN == quantity.milli_value()),
    ] {
        assert!(
            if quantity.sign() < 0 { rounded <= quantity } else { rounded >= quantity },
            "{quantity} became {rounded}"
        );
        assert_eq!(rounded.sign(), quantity.sign());
        assert!(limits || rounded.value() == quantity.value(), "{quantity} became {rounded}");
    }
}
