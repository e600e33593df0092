//! Continue tokens: as they come, as the JSON within one, and made from any key.

use apimachinery::continue_token::{decode, encode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const PREFIX: &str = "/registry/pods/";

pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    read(&text);
    read(&URL_SAFE_NO_PAD.encode(input));
    // What the server hands out it takes back, unless the key is one that no object can have.
    let key = format!("{PREFIX}{text}");
    let token = encode(&key, PREFIX, 7).expect("the prefix is there");
    if let Ok(found) = decode(&token, PREFIX) {
        assert!(found.revision == 7 && (found.key == key || key == format!("{PREFIX}/{}", &found.key[PREFIX.len()..])));
    }
}

/// A token that is taken names a place below the prefix and is the same place when it is handed out again.
fn read(token: &str) {
    let Ok(found) = decode(token, PREFIX) else { return };
    let relative = found.key.strip_prefix(PREFIX).expect("below the prefix");
    assert!(!relative.split('/').any(|part| part == ".." || part == "."), "{relative:?} leaves the prefix");
    if !relative.is_empty() {
        let again = encode(&found.key, PREFIX, found.revision).expect("encoded");
        assert_eq!(decode(&again, PREFIX), Ok(found));
    }
}
