//! Sets of completion indexes in the text form that statuses have: `1,3-5,7`.

use std::collections::BTreeSet;

pub(super) type Indexes = BTreeSet<i32>;

/// Reads the text, leaving out what is no index below `completions`.
pub(super) fn parse(text: &str, completions: i32) -> Indexes {
    let mut indexes = Indexes::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) {
            indexes.extend(first.max(0)..=last.min(completions - 1));
        }
    }
    indexes
}

/// Writes the text: runs of three and more with a dash, as upstream, and of two with a comma.
pub(super) fn text(indexes: &Indexes) -> String {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let run = |(first, last): (i32, i32)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    };
    runs.into_iter().map(run).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_written() {
        for (read, written) in
            [("", ""), ("3", "3"), ("0-1", "0,1"), ("0,1,2,5", "0-2,5"), ("4-90", "4-9"), ("x,2", "2")]
        {
            assert_eq!(text(&parse(read, 10)), written, "{read}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_harm(input in ".*") {
            let indexes = parse(&input, 100);
            proptest::prop_assert_eq!(parse(&text(&indexes), 100), indexes);
        }
    }
}
