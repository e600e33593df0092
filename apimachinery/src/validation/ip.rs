//! IP addresses and CIDRs, in the lenient form that old fields accept (leading zeros) and in the strict, canonical form
//! of newer fields (k8s.io/apimachinery `pkg/util/validation/ip.go`, k8s.io/utils/net).

use crate::field::{ErrorList, FieldError, Path};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Reads an address, letting decimal leading zeros through in IPv4 (`010.1.1.1` is 10.1.1.1). Zones are refused.
pub fn parse_ip_sloppy(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        *octet = decimal(parts.next()?)?.try_into().ok()?;
    }
    parts.next().is_none().then(|| IpAddr::V4(Ipv4Addr::from(octets)))
}

fn decimal(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Reads `address/length`; the address keeps its bits beyond the prefix.
pub fn parse_cidr_sloppy(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address = parse_ip_sloppy(address)?;
    let length = u8::try_from(decimal(length)?).ok()?;
    let max = if address.is_ipv4() { 32 } else { 128 };
    (length <= max).then_some((address, length))
}

/// The address with all bits beyond the prefix cleared.
pub fn mask(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask))
        }
    }
}

/// Upstream prints IPv4-mapped IPv6 addresses as IPv4.
pub fn canonical_ip(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

/// The network of a CIDR in canonical text.
pub fn canonical_cidr(address: IpAddr, length: u8) -> String {
    let network = mask(address, length);
    match network.to_canonical() {
        IpAddr::V4(v4) if network.is_ipv6() && length >= 96 => format!("{v4}/{}", length - 96),
        _ => format!("{network}/{length}"),
    }
}

fn mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

fn lenient_ip(path: &Path, value: &str, strict: bool) -> Result<IpAddr, ErrorList> {
    let Some(address) = parse_ip_sloppy(value) else {
        let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        return Err(vec![FieldError::invalid(path, value, detail)]);
    };
    let mut errors = Vec::new();
    if strict && value.parse::<IpAddr>().is_err() {
        errors.push(FieldError::invalid(path, value, "must not have leading 0s"));
    }
    if strict && mapped(address) {
        errors.push(FieldError::invalid(path, value, "must not be an IPv4-mapped IPv6 address"));
    }
    if errors.is_empty() { Ok(address) } else { Err(errors) }
}

/// A strict address in canonical form.
pub fn validate_ip(path: &Path, value: &str) -> ErrorList {
    match lenient_ip(path, value, true) {
        Err(errors) => errors,
        Ok(address) => not_canonical(path, value, &canonical_ip(address)),
    }
}

/// An address in an old field: lenient, and strict about what is new when `strict`; values in `old` always pass.
pub fn validate_ip_legacy(path: &Path, value: &str, strict: bool, old: &[&str]) -> ErrorList {
    if old.contains(&value) { Vec::new() } else { lenient_ip(path, value, strict).err().unwrap_or_default() }
}

fn lenient_cidr(path: &Path, value: &str, strict: bool) -> Result<(IpAddr, u8), ErrorList> {
    let Some((address, length)) = parse_cidr_sloppy(value) else {
        let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        return Err(vec![FieldError::invalid(path, value, detail)]);
    };
    if !strict {
        return Ok((address, length));
    }
    let (ip, prefix) = value.split_once('/').unwrap_or((value, ""));
    let detail = if ip.parse::<IpAddr>().is_err() || (prefix.len() > 1 && prefix.starts_with('0')) {
        "must not have leading 0s in IP or prefix length"
    } else if mapped(address) {
        "must not have an IPv4-mapped IPv6 address"
    } else if mask(address, length) != address {
        "must not have bits set beyond the prefix length"
    } else {
        return Ok((address, length));
    };
    Err(vec![FieldError::invalid(path, value, detail)])
}

/// A strict CIDR in canonical form.
pub fn validate_cidr(path: &Path, value: &str) -> ErrorList {
    match lenient_cidr(path, value, true) {
        Err(errors) => errors,
        Ok((address, length)) => not_canonical(path, value, &canonical_cidr(address, length)),
    }
}

/// A CIDR in an old field; see [`validate_ip_legacy`].
pub fn validate_cidr_legacy(path: &Path, value: &str, strict: bool, old: &[&str]) -> ErrorList {
    if old.contains(&value) { Vec::new() } else { lenient_cidr(path, value, strict).err().unwrap_or_default() }
}

fn not_canonical(path: &Path, value: &str, canonical: &str) -> ErrorList {
    if value == canonical {
        return Vec::new();
    }
    vec![FieldError::invalid(path, value, format!("must be in canonical form ({canonical:?})"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(errors: ErrorList) -> String {
        errors.iter().map(|e| e.detail.clone()).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn addresses() {
        let path = Path::root();
        let cases = [
            ("1.2.3.4", "", ""),
            ("::1", "", ""),
            ("2001:db8::ffff", "", ""),
            ("[2001:db8:0:1]:80", "must be a valid IP", "must be a valid IP"),
            ("1.2.3.4:80", "must be a valid IP", "must be a valid IP"),
            ("aaa", "must be a valid IP", "must be a valid IP"),
            ("1.2.3", "must be a valid IP", "must be a valid IP"),
            ("", "must be a valid IP", "must be a valid IP"),
            ("fe80::1%eth0", "must be a valid IP", "must be a valid IP"),
            ("1.2.3.04", "", "must not have leading 0s"),
            ("::ffff:1.2.3.4", "", "must not be an IPv4-mapped"),
            ("2001:DB8::1", "", "must be in canonical form (\"2001:db8::1\")"),
            ("2001:db8:0:0::1", "", "must be in canonical form"),
        ];
        for (value, lenient, strict) in cases {
            assert!(texts(validate_ip_legacy(&path, value, false, &[])).starts_with(lenient), "{value}");
            let got = texts(validate_ip(&path, value));
            assert!(got.starts_with(strict) && got.is_empty() == strict.is_empty(), "{value}: {got}");
        }
        assert!(validate_ip_legacy(&path, "junk", true, &["junk"]).is_empty());
    }

    #[test]
    fn cidrs() {
        let path = Path::root();
        let cases = [
            ("1.0.0.0/8", "", ""),
            ("0.0.0.0/0", "", ""),
            ("::/0", "", ""),
            ("2001:db8::/64", "", ""),
            ("1.2.3.4", "must be a valid CIDR", "must be a valid CIDR"),
            ("1.2.3.4/33", "must be a valid CIDR", "must be a valid CIDR"),
            ("1.2.3.4/a", "must be a valid CIDR", "must be a valid CIDR"),
            ("1.2.3.4/24", "", "must not have bits set beyond"),
            ("1.02.3.0/24", "", "must not have leading 0s in IP"),
            ("1.2.3.0/024", "", "must not have leading 0s in IP"),
            ("::ffff:1.2.3.0/120", "", "must not have an IPv4-mapped"),
            ("2001:DB8::/64", "", "must be in canonical form (\"2001:db8::/64\")"),
        ];
        for (value, lenient, strict) in cases {
            let got = texts(validate_cidr_legacy(&path, value, false, &[]));
            assert!(got.starts_with(lenient) && got.is_empty() == lenient.is_empty(), "{value}: {got}");
            let got = texts(validate_cidr(&path, value));
            assert!(got.starts_with(strict) && got.is_empty() == strict.is_empty(), "{value}: {got}");
        }
        let (ip, length) = parse_cidr_sloppy("::ffff:1.2.3.4/120").unwrap();
        assert_eq!(canonical_cidr(ip, length), "1.2.3.0/24");
    }
}
