//! YAML bodies: what was read is read again from its YAML and from its JSON, which is YAML too.

use schema::yaml::{from_yaml, to_yaml};

pub fn run(input: &[u8]) {
    let Ok((value, _)) = from_yaml(input) else { return };
    let printed = to_yaml(&value).expect("printed");
    let again = from_yaml(printed.as_bytes()).map(|(value, _)| value);
    assert_eq!(again.as_ref(), Ok(&value), "as YAML: {printed}");
    let json = value.to_string();
    let again = from_yaml(json.as_bytes()).map(|(value, _)| value);
    assert_eq!(again.as_ref(), Ok(&value), "as JSON: {json}");
}
