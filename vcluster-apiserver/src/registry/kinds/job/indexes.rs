//! Indexes of a job's pods as text: `1,3-5` (k8s.io/kubernetes `pkg/apis/batch/validation`, `validateIndexesFormat`).

/// One index, or the first and the last of several.
fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
    let limits: Vec<&str> = text.split('-').collect();
    let index = |limit: &str| -> Result<i64, String> {
        let number: i64 =
            limit.parse().map_err(|_| format!("cannot convert string to integer for index: {limit:?}"))?;
        if number >= completions { Err(format!("too large index: {limit:?}")) } else { Ok(number) }
    };
    match limits.as_slice() {
        [one] => index(one).map(|one| (one, one)),
        [first, last] => {
            let (first, last) = (index(first)?, index(last)?);
            if first >= last {
                return Err(format!("non-increasing order, previous: {first}, current: {last}"));
            }
            Ok((first, last))
        }
        _ => Err(format!(
            "the fragment {text:?} violates the requirement that an index interval can have at most two parts separated by '-'"
        )),
    }
}

/// How many indexes the text names.
pub fn total(text: &str, completions: i64) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let (mut total, mut previous) = (0, None);
    for part in text.split(',') {
        let (first, last) = interval(part, completions)?;
        if let Some(previous) = previous.filter(|previous| *previous >= first) {
            return Err(format!("non-increasing order, previous: {previous}, current: {first}"));
        }
        total += last - first + 1;
        previous = Some(last);
    }
    Ok(total)
}

/// The first index that both texts name. What cannot be read names none.
pub fn overlap(one: &str, other: &str, completions: i64) -> Option<i64> {
    let read = |text: &str| -> Vec<(i64, i64)> {
        text.split(',').filter_map(|part| interval(part, completions).ok()).collect()
    };
    let others = read(other);
    let common = |(first, last): (i64, i64)| {
        let met = others.iter().find(|(start, end)| first <= *end && *start <= last);
        met.map(|(start, _)| first.max(*start))
    };
    read(one).into_iter().find_map(common)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_indexes() {
        assert_eq!(total("", 3), Ok(0));
        assert_eq!(total("0,2-4", 5), Ok(4));
        assert!(total("2,1", 5).is_err_and(|why| why == "non-increasing order, previous: 2, current: 1"));
        assert!(total("7", 5).is_err_and(|why| why == "too large index: \"7\""));
        assert_eq!(overlap("0,2-4", "3", 5), Some(3));
        assert_eq!(overlap("0", "3", 5), None);
    }
}
