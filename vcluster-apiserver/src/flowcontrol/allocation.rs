//! How much of the server's concurrency each priority level gets while they lend to and borrow from each other
//! (k8s.io/apiserver `pkg/util/flowcontrol/conc_alloc.go`, KEP-1040). Pure.

/// What one level wants and may have.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Want {
    pub target: f64,
    pub lower: f64,
    pub upper: f64,
}

/// Smaller targets count as this, so that proportions stay finite.
const SMALLEST_TARGET: f64 = 0.001;
const EPSILON: f64 = 0.000_000_1;

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("the lower bounds sum to {0}, which is more than there is")]
    TooLittle(f64),
    #[error("the upper bounds sum to {0}, which is less than there is")]
    TooMuch(f64),
    #[error("want {0} has bounds that contradict each other or its target")]
    Contradiction(usize),
}

/// The one division of `total` in which everybody gets the same proportion of its target, except those whom a bound
/// keeps from it.
pub fn allocate(total: usize, wants: &[Want]) -> Result<Vec<f64>, Error> {
    let total = total as f64;
    if let Some(wrong) = wants.iter().position(|w| w.lower < 0.0 || w.target < w.lower || w.upper < w.lower) {
        return Err(Error::Contradiction(wrong));
    }
    let low: f64 = wants.iter().map(|w| w.lower).sum();
    let high: f64 = wants.iter().map(|w| w.upper).sum();
    if low - total > EPSILON {
        return Err(Error::TooLittle(low));
    }
    if total - high > EPSILON {
        return Err(Error::TooMuch(high));
    }
    let given = |proportion: f64| {
        wants.iter().map(move |w| (proportion * w.target.max(SMALLEST_TARGET)).clamp(w.lower, w.upper))
    };
    // The sum grows piecewise linearly with the proportion; its corners are the proportions at which a bound begins or
    // ceases to hold somebody. The answer lies between the last corner whose sum is too small and the next.
    let mut corners: Vec<f64> = wants
        .iter()
        .flat_map(|w| [w.lower, w.upper].map(|bound| bound / w.target.max(SMALLEST_TARGET)))
        .chain([0.0])
        .collect();
    corners.sort_by(f64::total_cmp);
    let sum = |proportion: f64| given(proportion).sum::<f64>();
    let after = corners.partition_point(|corner| sum(*corner) < total);
    let Some(right) = corners.get(after).copied() else { return Ok(wants.iter().map(|w| w.upper).collect()) };
    let left = if after == 0 { right } else { corners[after - 1] };
    let (low, high) = (sum(left), sum(right));
    let share = if high - low > EPSILON { (total - low) / (high - low) } else { 1.0 };
    Ok(given(left + (right - left) * share.clamp(0.0, 1.0)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wants(list: &[(f64, f64, f64)]) -> Vec<Want> {
        list.iter().map(|&(target, lower, upper)| Want { target, lower, upper }).collect()
    }

    // Shapes of upstream's conc_alloc_test.go: nothing binds, all at the bottom, all at the top, a mixture.
    #[test]
    fn everybody_gets_the_same_proportion_unless_bound() {
        for (total, given, expected) in [
            (0, wants(&[(0.0, 0.0, 0.0), (0.0, 0.0, 5.0)]), vec![0.0, 0.0]),
            (2, wants(&[(2.0, 0.0, 2.0), (2.0, 0.0, 2.0)]), vec![1.0, 1.0]),
            (3, wants(&[(2.0, 0.0, 2.0), (1.0, 0.0, 2.0)]), vec![2.0, 1.0]),
            (4, wants(&[(1.0, 1.0, 2.0), (3.0, 3.0, 9.0)]), vec![1.0, 3.0]),
            (11, wants(&[(1.0, 1.0, 2.0), (3.0, 3.0, 9.0)]), vec![2.0, 9.0]),
            (8, wants(&[(1.0, 0.0, 2.0), (1.0, 0.0, 9.0)]), vec![2.0, 6.0]),
            (6, wants(&[(4.0, 3.0, 4.0), (4.0, 0.0, 4.0), (4.0, 0.0, 4.0)]), vec![3.0, 1.5, 1.5]),
        ] {
            let got = allocate(total, &given).unwrap();
            let same = got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 0.01);
            assert!(same, "{total} {given:?}: {got:?}");
        }
    }

    #[test]
    fn the_impossible_is_refused() {
        assert!(matches!(allocate(1, &wants(&[(2.0, 2.0, 3.0)])), Err(Error::TooLittle(_))));
        assert!(matches!(allocate(4, &wants(&[(2.0, 2.0, 3.0)])), Err(Error::TooMuch(_))));
        assert_eq!(allocate(2, &wants(&[(1.0, 2.0, 3.0)])), Err(Error::Contradiction(0)));
        assert_eq!(allocate(2, &wants(&[(2.0, 2.0, 1.0)])), Err(Error::Contradiction(0)));
    }

    proptest! {
        #[test]
        fn what_is_given_out_is_what_there_is(
            parts in proptest::collection::vec((0_u32..100, 0_u32..100, 0_u32..100), 1..12), spread in 0.0..1.0_f64
        ) {
            let wants: Vec<Want> = parts.iter().map(|&(lower, above, room)| {
                let lower = f64::from(lower);
                Want { lower, target: lower + f64::from(above), upper: lower + f64::from(room) }
            }).collect();
            let low: f64 = wants.iter().map(|w| w.lower).sum();
            let high: f64 = wants.iter().map(|w| w.upper).sum();
            let total = (low + (high - low) * spread).floor().max(low) as usize;
            let got = allocate(total, &wants).unwrap();
            prop_assert!((got.iter().sum::<f64>() - total as f64).abs() < 0.001);
            for (got, want) in got.iter().zip(&wants) {
                prop_assert!(*got >= want.lower - 1e-9 && *got <= want.upper + 1e-9);
            }
        }
    }
}
