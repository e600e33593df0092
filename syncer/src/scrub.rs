//! Takes the host's names out of texts that tenants read.

use serde_json::Value;

/// Pairs of a host's word and the tenant's, replaced where they stand as whole words; longer words first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scrubber {
    words: Vec<(String, String)>,
}

impl Scrubber {
    pub(crate) fn new(words: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut words: Vec<(String, String)> =
            words.into_iter().filter(|(host, virt)| !host.is_empty() && host != virt).collect();
        words.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        Self { words }
    }

    pub(crate) fn text(&self, text: &str) -> String {
        self.words.iter().fold(text.to_owned(), |text, (host, virt)| replace_words(&text, host, virt))
    }

    /// Scrubs every `message` in a tree.
    pub(crate) fn messages(&self, tree: &mut Value) {
        match tree {
            Value::Object(map) => {
                for (key, value) in map {
                    match value {
                        Value::String(text) if key == "message" => *text = self.text(text),
                        value => self.messages(value),
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|value| self.messages(value)),
            _ => {}
        }
    }
}

/// Replaces `word` where no letter, digit or hyphen touches it: the characters that names are made of. A dot counts as
/// an end, since sentences end with one.
fn replace_words(text: &str, word: &str, by: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let starts = !before.chars().next_back().or_else(|| result.chars().next_back()).is_some_and(is_part);
        let ends = !after.chars().next().is_some_and(is_part);
        result.push_str(before);
        result.push_str(if starts && ends { by } else { word });
        rest = after;
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn scrubber() -> Scrubber {
        let pairs = [("hosted", "ns"), ("web-x-ns-x-t", "web"), ("s-x-ns-x-t", "s")];
        Scrubber::new(pairs.map(|(host, virt)| (host.to_owned(), virt.to_owned())))
    }

    #[test]
    fn whole_words_are_replaced() {
        let cases = [
            (
                "back-off restarting container=c pod=web-x-ns-x-t_hosted(u)",
                "back-off restarting container=c pod=web_ns(u)",
            ),
            ("secret \"s-x-ns-x-t\" not found.", "secret \"s\" not found."),
            ("hosted/web-x-ns-x-t", "ns/web"),
            ("unhosted web-x-ns-x-tx", "unhosted web-x-ns-x-tx"),
            ("hosted", "ns"),
        ];
        for (host, virt) in cases {
            assert_eq!(scrubber().text(host), virt);
        }
    }

    #[test]
    fn only_messages_of_a_tree_are_touched() {
        let mut tree = json!({"reason": "hosted", "a": [{"state": {"waiting": {"message": "in hosted"}}}]});
        scrubber().messages(&mut tree);
        assert_eq!(tree, json!({"reason": "hosted", "a": [{"state": {"waiting": {"message": "in ns"}}}]}));
    }

    proptest! {
        #[test]
        fn any_text_survives(text in ".*", word in "[a-z-]{1,4}") {
            let scrubber = Scrubber::new([(word.clone(), word.to_uppercase())]);
            prop_assert_eq!(scrubber.text(&text).to_lowercase(), text.to_lowercase());
        }
    }
}
