//! What a name inside the cluster domain asks about.
//!
//! The grammar is that of the Kubernetes DNS specification 1.1 as CoreDNS' `kubernetes` plugin reads it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A parsed question, all parts in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question<'a> {
    /// The cluster domain itself.
    Apex,
    /// `dns-version`: the version of the specification.
    Version,
    /// `svc`, `pod`: exist, hold nothing themselves.
    Branch,
    /// `NAMESPACE.svc` and `NAMESPACE.pod`.
    Namespace(&'a str),
    Service {
        namespace: &'a str,
        name: &'a str,
    },
    /// `_PORT._PROTOCOL.SERVICE.NAMESPACE.svc`
    Port {
        namespace: &'a str,
        name: &'a str,
        port: &'a str,
        protocol: &'a str,
    },
    /// `ENDPOINT.SERVICE.NAMESPACE.svc`: a host name, or an address with dashes.
    Endpoint {
        namespace: &'a str,
        name: &'a str,
        host: &'a str,
    },
    /// `1-2-3-4.NAMESPACE.pod`
    Pod {
        namespace: &'a str,
        address: IpAddr,
    },
    /// Nothing that the specification knows.
    Unknown,
}

/// Reads the labels in front of the cluster domain, leftmost first.
pub fn parse<'a>(labels: &[&'a str]) -> Question<'a> {
    match labels {
        [] => Question::Apex,
        ["dns-version"] => Question::Version,
        ["svc" | "pod"] => Question::Branch,
        [namespace, "svc" | "pod"] => Question::Namespace(namespace),
        [address, namespace, "pod"] => match dashed_address(address) {
            Some(address) => Question::Pod { namespace, address },
            None => Question::Unknown,
        },
        [name, namespace, "svc"] => Question::Service { namespace, name },
        [host, name, namespace, "svc"] => Question::Endpoint { namespace, name, host },
        [port, protocol, name, namespace, "svc"] => match (port.strip_prefix('_'), protocol.strip_prefix('_')) {
            (Some(port), Some(protocol)) => Question::Port { namespace, name, port, protocol },
            _ => Question::Unknown,
        },
        _ => Question::Unknown,
    }
}

/// `1-2-3-4` or `2001-db8--1` as an address.
pub fn dashed_address(text: &str) -> Option<IpAddr> {
    let v4 = text.replace('-', ".").parse::<Ipv4Addr>().map(IpAddr::V4);
    v4.or_else(|_| text.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::V6)).ok()
}

/// The label that stands for an endpoint without a host name.
pub fn address_label(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}

/// The address that a name under `in-addr.arpa` or `ip6.arpa` stands for; `labels` includes these two.
pub fn reverse_address(labels: &[&str]) -> Option<IpAddr> {
    match labels {
        [d, c, b, a, "in-addr", "arpa"] => format!("{a}.{b}.{c}.{d}").parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        [nibbles @ .., "ip6", "arpa"] if nibbles.len() == 32 => {
            let mut value = 0u128;
            for (place, nibble) in nibbles.iter().enumerate() {
                let digit = u128::from_str_radix(nibble, 16).ok().filter(|_| nibble.len() == 1)?;
                value |= digit << (4 * place);
            }
            Some(IpAddr::V6(Ipv6Addr::from(value)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(name: &str) -> Question<'_> {
        parse(&name.split('.').filter(|l| !l.is_empty()).collect::<Vec<_>>())
    }

    #[test]
    fn the_grammar_of_the_specification() {
        assert_eq!(read(""), Question::Apex);
        assert_eq!(read("dns-version"), Question::Version);
        assert_eq!(read("prod.svc"), Question::Namespace("prod"));
        assert_eq!(read("web.prod.svc"), Question::Service { namespace: "prod", name: "web" });
        assert_eq!(read("db-0.db.prod.svc"), Question::Endpoint { namespace: "prod", name: "db", host: "db-0" });
        let port = Question::Port { namespace: "prod", name: "web", port: "http", protocol: "tcp" };
        assert_eq!(read("_http._tcp.web.prod.svc"), port);
        let pod = Question::Pod { namespace: "prod", address: "10.1.2.3".parse().unwrap() };
        assert_eq!(read("10-1-2-3.prod.pod"), pod);
        assert_eq!(read("http._tcp.web.prod.svc"), Question::Unknown);
        assert_eq!(read("x.10-1-2-3.prod.pod"), Question::Unknown);
    }

    #[test]
    fn reverse_names() {
        let v4 = ["10", "0", "96", "10", "in-addr", "arpa"];
        assert_eq!(reverse_address(&v4), Some("10.96.0.10".parse().unwrap()));
        assert_eq!(reverse_address(&["300", "0", "96", "10", "in-addr", "arpa"]), None);
        let mut v6 = vec!["1"];
        v6.extend(std::iter::repeat_n("0", 27));
        v6.extend(["1", "0", "d", "f", "ip6", "arpa"]);
        assert_eq!(reverse_address(&v6), Some("fd01::1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn any_labels_are_read_without_panic(labels in proptest::collection::vec("[-_a-z0-9]{0,12}", 0..40)) {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            let _ = (parse(&labels), reverse_address(&labels));
        }

        #[test]
        fn an_address_survives_its_label(bits in any::<u128>(), short in any::<u32>()) {
            for address in [IpAddr::V6(bits.into()), IpAddr::V4(short.into())] {
                prop_assert_eq!(dashed_address(&address_label(address)), Some(address));
            }
        }
    }
}
