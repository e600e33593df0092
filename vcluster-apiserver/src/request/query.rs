//! The query string as pairs. It refuses nothing: as in Go, a pair that cannot be decoded is not there.

use percent_encoding::percent_decode_str;

/// Query parameters in the order given; a name may repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=1&b=2`; `+` is a space and a missing `=` an empty value.
    pub fn parse(raw: &str) -> Self {
        let pairs = raw.split('&').filter(|part| !part.is_empty() && is_sound(part)).map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(name), decoded(value))
        });
        Self(pairs.collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The value of a parameter that is there and not empty.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Upstream's reading of a boolean parameter: present means true, unless it says `false` or `0`
    /// (k8s.io/apimachinery `pkg/runtime/converter.go`, `Convert_Slice_string_To_bool`).
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|v| !matches!(v.to_ascii_lowercase().as_str(), "false" | "0"))
    }
}

/// Whether every `%` begins an escape, and no semicolon separates.
fn is_sound(part: &str) -> bool {
    let escapes =
        |text: &str| text.as_bytes().first_chunk::<2>().is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    !part.contains(';') && part.split('%').skip(1).all(escapes)
}

fn decoded(part: &str) -> String {
    let spaced = part.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_may_repeat() {
        let query = Query::parse("labelSelector=a%3Db%2Cc&dryRun=All&dryRun=x&watch&name=a+b");
        assert_eq!(query.get("labelSelector"), Some("a=b,c"));
        assert_eq!(query.all("dryRun").collect::<Vec<_>>(), ["All", "x"]);
        assert!(query.flag("watch"));
        assert_eq!(query.get("name"), Some("a b"));
        assert!(!Query::parse("watch=0").flag("watch"));
    }
}
