//! PEM text in and out.

use super::Error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::fmt::Write as _;

/// One block, 64 characters a line.
pub fn encode(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        let _ = writeln!(out, "{}", String::from_utf8_lossy(line));
    }
    let _ = writeln!(out, "-----END {label}-----");
    out
}

/// Every certificate of a bundle, in order; other blocks are passed over. At least one must be there.
pub fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match found {
        Ok(list) if !list.is_empty() => Ok(list),
        _ => Err(Error::Pem { wanted: "CERTIFICATE" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_back() {
        let text = format!("{}\n{}", encode("CERTIFICATE", &[1; 100]), encode("CERTIFICATE", &[2]));
        let read = certificates(&text).unwrap();
        assert_eq!(read.iter().map(|c| c.len()).collect::<Vec<_>>(), [100, 1]);
        assert!(certificates("nothing").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".*") {
            let _ = certificates(&text);
        }
    }
}
