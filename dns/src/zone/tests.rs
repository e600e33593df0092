//! The specification's cases, one line each: name, type, what comes back.

use super::*;

struct Fixed;

fn port(name: &str, number: u16) -> Port {
    Port { name: name.into(), protocol: "tcp".into(), number }
}

fn endpoint(address: &str, hostname: Option<&str>) -> Endpoint {
    let hostname = hostname.map(Into::into);
    Endpoint { address: address.parse().unwrap(), hostname, ports: vec![port("sql", 5432)] }
}

impl View for Fixed {
    fn service(&self, namespace: &str, name: &str) -> Option<ServiceFacts> {
        let none = ServiceFacts::default();
        match (namespace, name) {
            ("prod", "web") => Some(ServiceFacts {
                addresses: vec!["10.96.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
                ports: vec![port("http", 80), port("https", 443)],
                ..none
            }),
            ("prod", "db") => Some(ServiceFacts {
                endpoints: vec![endpoint("10.1.0.5", Some("db-0")), endpoint("10.1.0.6", None)],
                ports: vec![port("sql", 5432)],
                ..none
            }),
            ("prod", "empty") => Some(none),
            ("prod", "far") => Some(ServiceFacts { external_name: Some("db.example.org".into()), ..none }),
            _ => None,
        }
    }

    fn namespace_exists(&self, namespace: &str) -> bool {
        namespace == "prod"
    }

    fn names_of(&self, address: IpAddr) -> Vec<String> {
        if address.to_string() == "10.96.0.7" { vec!["web.prod.svc".into()] } else { Vec::new() }
    }
}

fn ask(name: &str, kind: Type) -> String {
    let labels: Vec<&str> = name.split('.').filter(|l| !l.is_empty()).collect();
    let answer = answer(&Fixed, &names::parse(&labels), kind);
    if !answer.exists {
        return "NXDOMAIN".into();
    }
    let text = |r: &Record| match &r.data {
        Data::Address(a) => a.to_string(),
        Data::Cname(n) => format!("-> {n}"),
        Data::Srv { port, weight, target } => format!("{weight} {port} {target}"),
        Data::Ptr(n) => n.clone(),
        Data::Txt(t) => (*t).to_owned(),
    };
    answer.records.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[test]
fn answers_of_the_specification() {
    let cases = [
        ("dns-version", Type::Txt, "1.1.0"),
        ("web.prod.svc", Type::A, "10.96.0.7"),
        ("web.prod.svc", Type::Aaaa, "fd00::7"),
        ("web.prod.svc", Type::Other, ""),
        ("_http._tcp.web.prod.svc", Type::Srv, "100 80 web.prod.svc"),
        ("_http._udp.web.prod.svc", Type::Srv, "NXDOMAIN"),
        ("web.prod.svc", Type::Srv, "50 80 web.prod.svc, 50 443 web.prod.svc"),
        ("db.prod.svc", Type::A, "10.1.0.5, 10.1.0.6"),
        ("db-0.db.prod.svc", Type::A, "10.1.0.5"),
        ("10-1-0-6.db.prod.svc", Type::A, "10.1.0.6"),
        ("db-9.db.prod.svc", Type::A, "NXDOMAIN"),
        ("_sql._tcp.db.prod.svc", Type::Srv, "50 5432 10-1-0-6.db.prod.svc, 50 5432 db-0.db.prod.svc"),
        ("empty.prod.svc", Type::A, "NXDOMAIN"),
        ("far.prod.svc", Type::A, "-> db.example.org"),
        ("far.prod.svc", Type::Other, ""),
        ("10-9-8-7.prod.pod", Type::A, "10.9.8.7"),
        ("10-9-8-7.gone.pod", Type::A, "NXDOMAIN"),
        ("prod.svc", Type::A, ""),
        ("gone.svc", Type::A, "NXDOMAIN"),
        ("nothing.prod.svc", Type::A, "NXDOMAIN"),
    ];
    for (name, kind, expected) in cases {
        assert_eq!(ask(name, kind), expected, "{name} {kind:?}");
    }
}

#[test]
fn srv_targets_come_with_their_addresses() {
    let labels = ["_http", "_tcp", "web", "prod", "svc"];
    let answer = answer(&Fixed, &names::parse(&labels), Type::Srv);
    assert_eq!(answer.additional.len(), 2);
    assert_eq!(answer.additional[0].owner.as_deref(), Some("web.prod.svc"));
}

#[test]
fn reverse_questions_are_ours_only_when_the_address_is() {
    let ours = reverse(&Fixed, "10.96.0.7".parse().unwrap(), Type::Ptr).unwrap();
    assert_eq!(ours.records[0].data, Data::Ptr("web.prod.svc".into()));
    assert_eq!(reverse(&Fixed, "192.0.2.1".parse().unwrap(), Type::Ptr), None);
}
