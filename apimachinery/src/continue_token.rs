//! The opaque `continue` of lists: base64url without padding of `{"v":"meta.k8s.io/v1","rv":REVISION,"start":KEY}`
//! (k8s.io/apiserver `pkg/storage/continue.go`).
//!
//! A token comes from a client, so its key must be a clean relative path: it can name nothing outside its prefix.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

const VERSION: &str = "meta.k8s.io/v1";

/// Why a token is refused (400); the texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContinueError {
    #[error("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)")]
    StartRevision,
    #[error("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)")]
    EmptyStart,
    #[error("continue key is not valid: {0}")]
    Invalid(String),
    #[error("continue key is not valid: server does not recognize this encoded version {0}")]
    Version(String),
    /// The server's own mistake, not the client's.
    #[error("unable to encode next field: the key and key prefix do not match")]
    Prefix,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Token {
    v: String,
    rv: i64,
    start: String,
}

/// Where to go on (a key at or after which the next page begins), and the revision of the first page. A negative
/// revision asks for a fresh one, as upstream does after an expired token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continue {
    pub key: String,
    pub revision: i64,
}

/// `key` must begin with `prefix`, which the token leaves out. To go on after a key, append a NUL to it.
pub fn encode(key: &str, prefix: &str, revision: i64) -> Result<String, ContinueError> {
    let start = key.strip_prefix(prefix).filter(|_| !prefix.is_empty()).ok_or(ContinueError::Prefix)?;
    let token = Token { v: VERSION.into(), rv: revision, start: start.into() };
    let json = serde_json::to_vec(&token).map_err(|e| ContinueError::Invalid(e.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// Puts `prefix` before the token's key again.
pub fn decode(token: &str, prefix: &str) -> Result<Continue, ContinueError> {
    // Go's decoder passes over line ends.
    let text: String = token.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let json = URL_SAFE_NO_PAD.decode(&text).map_err(|error| {
        use base64::DecodeError::{InvalidByte, InvalidLastSymbol, InvalidLength, InvalidPadding};
        let position = match error {
            InvalidByte(at, _) | InvalidLastSymbol(at, _) => at,
            // Go names the beginning of the group of four that is cut off.
            InvalidLength(length) => length / 4 * 4,
            InvalidPadding => text.len(),
        };
        ContinueError::Invalid(format!("illegal base64 data at input byte {position}"))
    })?;
    let token: Token = serde_json::from_slice(&json).map_err(|e| ContinueError::Invalid(e.to_string()))?;
    if token.v != VERSION {
        return Err(ContinueError::Version(token.v));
    }
    if token.rv == 0 {
        return Err(ContinueError::StartRevision);
    }
    if token.start.is_empty() {
        return Err(ContinueError::EmptyStart);
    }
    let relative = token.start.strip_prefix('/').unwrap_or(&token.start);
    if relative.is_empty() || relative.split('/').any(|part| matches!(part, "" | "." | "..")) {
        // The root itself is clean too, for upstream.
        if !relative.is_empty() {
            return Err(ContinueError::Invalid(token.start));
        }
    }
    Ok(Continue { key: format!("{prefix}{relative}"), revision: token.rv })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(v: &str, rv: i64, start: &str) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&Token { v: v.into(), rv, start: start.into() }).unwrap())
    }

    #[test]
    fn upstreams_cases() {
        let generic = |start: &str| Err(format!("continue key is not valid: {start}"));
        let cases = [
            (token(VERSION, 1, "key"), Ok(("/test/key", 1))),
            (token(VERSION, 1, "/key"), Ok(("/test/key", 1))),
            (token(VERSION, -1, "a/b\0"), Ok(("/test/a/b\0", -1))),
            (
                token("meta.k8s.io/v1", 0, "key"),
                Err("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)"
                    .into()),
            ),
            (
                token(VERSION, 1, ""),
                Err("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)".into()),
            ),
            (
                token("meta.k8s.io/v2", 1, "key"),
                Err("continue key is not valid: server does not recognize this encoded version meta.k8s.io/v2".into()),
            ),
            (token(VERSION, 1, "../key"), generic("../key")),
            (token(VERSION, 1, "/../key"), generic("/../key")),
            (token(VERSION, 1, "a//b"), generic("a//b")),
            (token(VERSION, 1, "a/"), generic("a/")),
            ("!".to_owned(), generic("illegal base64 data at input byte 0")),
        ];
        for (token, expected) in cases {
            let got = decode(&token, "/test/").map_err(|e| e.to_string());
            let expected = expected.map(|(key, revision)| Continue { key: key.to_owned(), revision });
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn a_key_outside_the_prefix_is_not_encoded() {
        assert_eq!(encode("/other/key", "/test/", 1), Err(ContinueError::Prefix));
        let encoded = encode("/test/ns/key\0", "/test/", 7).unwrap();
        assert_eq!(decode(&encoded, "/test/"), Ok(Continue { key: "/test/ns/key\0".into(), revision: 7 }));
    }

    proptest! {
        #[test]
        fn any_token_is_read_or_refused(text in ".{0,60}") {
            let _ = decode(&text, "/p/");
        }

        #[test]
        fn decoded_keys_stay_below_the_prefix(start in "[a./]{0,12}") {
            if let Ok(found) = decode(&token(VERSION, 3, &start), "/p/") {
                prop_assert!(found.key.starts_with("/p/") && !found.key.split('/').any(|part| part == ".."));
            }
        }
    }
}
