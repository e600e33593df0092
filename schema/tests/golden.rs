//! Upstream's serialized fixtures of every kind, where they lie in the Go module cache: protobuf to JSON, JSON to
//! protobuf and the strict decoder must each give the other file byte for byte.

use schema::codec::{Envelope, envelope_to_json, json_to_envelope, protobuf_to_json};
use schema::{FieldValidation, decode};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of k8s.io/api, of the version that the table program pins.
fn fixtures() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tables");
    let go = |arguments: &[&str]| {
        let output = Command::new("go").args(arguments).current_dir(&program).output();
        let output = output.expect("go is needed to find upstream's fixtures");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    };
    // What is not in the cache yet has no folder until it is fetched.
    go(&["mod", "download", "k8s.io/api"]);
    let output = go(&["list", "-mod=mod", "-m", "-f", "{{.Dir}}", "k8s.io/api"]);
    Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("testdata/HEAD")
}

/// The JSON without the spaces between its tokens.
fn compact(pretty: &[u8]) -> Vec<u8> {
    let (mut out, mut quoted, mut escaped) = (Vec::new(), false, false);
    for byte in pretty {
        if quoted || !byte.is_ascii_whitespace() {
            out.push(*byte);
        }
        if *byte == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && *byte == b'\\' && !escaped;
    }
    out
}

#[test]
fn every_kind_round_trips_byte_for_byte() {
    let mut kinds = 0;
    let mut failures = Vec::new();
    let mut files: Vec<_> =
        std::fs::read_dir(fixtures()).expect("fixtures").map(|f| f.expect("fixture").path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "pb")) {
        kinds += 1;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let protobuf = std::fs::read(path).expect("protobuf fixture");
        let json = compact(&std::fs::read(path.with_extension("json")).expect("JSON fixture"));
        let envelope = Envelope::parse(&protobuf).expect("envelope");
        // A watch event is the one object that travels without its kind.
        let decoded = if name.ends_with(".WatchEvent") {
            let t = schema::type_named("meta.v1.WatchEvent").expect("WatchEvent");
            protobuf_to_json(t, envelope.raw)
        } else {
            envelope_to_json(&protobuf)
        };
        match decoded {
            Ok(got) if got == json => {}
            Ok(got) => failures.push(format!(
                "{name}: to JSON\n  got  {}\n  want {}",
                differing(&got, &json),
                differing(&json, &got)
            )),
            Err(error) => failures.push(format!("{name}: to JSON: {error}")),
        }
        let t = envelope.message_type().ok().or_else(|| schema::type_named("meta.v1.WatchEvent")).expect("type");
        match json_to_envelope(t, envelope.api_version, envelope.kind, &json) {
            Ok(got) if got == protobuf => {}
            Ok(_) => failures.push(format!("{name}: to protobuf differs")),
            Err(error) => failures.push(format!("{name}: to protobuf: {error}")),
        }
        match decode(Some(t), &json, FieldValidation::Strict) {
            Ok((got, _)) if serde_json::from_slice::<serde_json::Value>(&json).is_ok_and(|want| want == got) => {}
            Ok(_) => failures.push(format!("{name}: decoded differs")),
            Err(error) => failures.push(format!("{name}: decode: {error}")),
        }
    }
    let fields: usize = schema::types().iter().map(|t| t.fields().len()).sum();
    println!("{kinds} kinds, {fields} fields");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(kinds, 193);
}

/// The part of `a` around the first byte where it leaves `b`.
fn differing(a: &[u8], b: &[u8]) -> String {
    let at = a.iter().zip(b).position(|(x, y)| x != y).unwrap_or(a.len().min(b.len()));
    String::from_utf8_lossy(&a[at.saturating_sub(60)..a.len().min(at + 60)]).into_owned()
}
