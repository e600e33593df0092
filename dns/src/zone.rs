//! Answers of the cluster domain: a question and the objects behind it in, records out. Pure.

use crate::names::{self, Question};
use std::net::IpAddr;

/// Seconds that clients may keep an answer; CoreDNS' usual value for clusters.
pub const TTL: u32 = 30;

/// What a Service is to DNS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceFacts {
    /// Empty for headless and external services.
    pub addresses: Vec<IpAddr>,
    /// The target of an `ExternalName` service.
    pub external_name: Option<String>,
    pub ports: Vec<Port>,
    /// Ready endpoints (all of them where the service publishes unready ones); read for headless services only.
    pub endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    /// Lower case: `tcp`.
    pub protocol: String,
    pub number: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub address: IpAddr,
    pub hostname: Option<String>,
    pub ports: Vec<Port>,
}

impl Endpoint {
    fn label(&self) -> String {
        self.hostname.clone().unwrap_or_else(|| names::address_label(self.address))
    }
}

/// Where the zone finds its objects.
pub trait View {
    fn service(&self, namespace: &str, name: &str) -> Option<ServiceFacts>;
    fn namespace_exists(&self, namespace: &str) -> bool;
    /// Names under the cluster domain (`web.prod.svc`) of services and endpoints with this address.
    fn names_of(&self, address: IpAddr) -> Vec<String>;
}

/// The record types that the zone knows; everything else has no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    A,
    Aaaa,
    Srv,
    Cname,
    Txt,
    Ptr,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    Address(IpAddr),
    /// A name outside the cluster domain.
    Cname(String),
    /// The target is relative to the cluster domain.
    Srv {
        port: u16,
        weight: u16,
        target: String,
    },
    /// Relative to the cluster domain.
    Ptr(String),
    Txt(&'static str),
}

/// `owner` is relative to the cluster domain, or the question's own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub owner: Option<String>,
    pub data: Data,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// False: NXDOMAIN. True with no records: NODATA.
    pub exists: bool,
    pub records: Vec<Record>,
    /// Addresses of SRV targets.
    pub additional: Vec<Record>,
}

impl Answer {
    fn of(data: impl IntoIterator<Item = Data>) -> Self {
        let records = data.into_iter().map(|data| Record { owner: None, data }).collect();
        Self { exists: true, records, additional: Vec::new() }
    }
}

/// Answers one question about a name inside the cluster domain.
pub fn answer(view: &dyn View, question: &Question<'_>, kind: Type) -> Answer {
    match question {
        Question::Apex | Question::Branch => Answer::of([]),
        Question::Version => Answer::of((kind == Type::Txt).then_some(Data::Txt("1.1.0"))),
        Question::Namespace(namespace) => Answer { exists: view.namespace_exists(namespace), ..Answer::default() },
        Question::Pod { namespace, address } if view.namespace_exists(namespace) => {
            Answer::of(of_type([*address], kind))
        }
        Question::Service { namespace, name } => {
            with_service(view, namespace, name, |s| service(s, namespace, name, kind))
        }
        Question::Port { namespace, name, port, protocol } => with_service(view, namespace, name, |s| {
            let answer = srv(s, namespace, name, |p| p.name == *port && p.protocol == *protocol);
            // A port exists or not whatever the type asked; only SRV has data there.
            if kind == Type::Srv { answer } else { Answer { exists: answer.exists, ..Answer::default() } }
        }),
        Question::Endpoint { namespace, name, host } => with_service(view, namespace, name, |s| {
            let all = s.endpoints.iter().filter(|e| e.label() == *host).map(|e| e.address);
            let addresses: Vec<IpAddr> = all.collect();
            Answer { exists: !addresses.is_empty(), ..Answer::of(of_type(addresses, kind)) }
        }),
        Question::Pod { .. } | Question::Unknown => Answer::default(),
    }
}

/// Answers a reverse question; `None` when the address belongs to nothing here.
pub fn reverse(view: &dyn View, address: IpAddr, kind: Type) -> Option<Answer> {
    let names = view.names_of(address);
    if names.is_empty() {
        return None;
    }
    Some(if kind == Type::Ptr { Answer::of(names.into_iter().map(Data::Ptr)) } else { Answer::of([]) })
}

fn with_service(view: &dyn View, namespace: &str, name: &str, then: impl Fn(&ServiceFacts) -> Answer) -> Answer {
    view.service(namespace, name).map_or_else(Answer::default, |facts| then(&facts))
}

fn of_type(addresses: impl IntoIterator<Item = IpAddr>, kind: Type) -> Vec<Data> {
    let wanted = |a: &IpAddr| match kind {
        Type::A => a.is_ipv4(),
        Type::Aaaa => a.is_ipv6(),
        _ => false,
    };
    addresses.into_iter().filter(wanted).map(Data::Address).collect()
}

fn service(facts: &ServiceFacts, namespace: &str, name: &str, kind: Type) -> Answer {
    if let Some(target) = &facts.external_name {
        let followed = matches!(kind, Type::A | Type::Aaaa | Type::Cname);
        return Answer::of(followed.then(|| Data::Cname(target.clone())));
    }
    let headless = facts.addresses.is_empty();
    // A headless service without endpoints does not exist, as CoreDNS answers.
    if headless && facts.endpoints.is_empty() {
        return Answer::default();
    }
    if kind == Type::Srv {
        return srv(facts, namespace, name, |_| true);
    }
    if !headless {
        return Answer::of(of_type(facts.addresses.iter().copied(), kind));
    }
    let mut addresses: Vec<IpAddr> = facts.endpoints.iter().map(|e| e.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Answer::of(of_type(addresses, kind))
}

/// One SRV record per matching port: of the service, or of each endpoint of a headless one.
fn srv(facts: &ServiceFacts, namespace: &str, name: &str, wanted: impl Fn(&Port) -> bool) -> Answer {
    let service = format!("{name}.{namespace}.svc");
    let mut found: Vec<(u16, String, Vec<IpAddr>)> = Vec::new();
    if facts.addresses.is_empty() {
        for endpoint in &facts.endpoints {
            let target = format!("{}.{service}", endpoint.label());
            let ports = endpoint.ports.iter().filter(|p| wanted(p));
            found.extend(ports.map(|p| (p.number, target.clone(), vec![endpoint.address])));
        }
    } else {
        let ports = facts.ports.iter().filter(|p| wanted(p));
        found.extend(ports.map(|p| (p.number, service.clone(), facts.addresses.clone())));
    }
    found.sort();
    found.dedup();
    let weight = 100 / u16::try_from(found.len().max(1)).unwrap_or(100);
    let mut answer = Answer { exists: !found.is_empty(), ..Answer::default() };
    for (port, target, addresses) in found {
        for address in addresses {
            let glue = Record { owner: Some(target.clone()), data: Data::Address(address) };
            if !answer.additional.contains(&glue) {
                answer.additional.push(glue);
            }
        }
        answer.records.push(Record { owner: None, data: Data::Srv { port, weight: weight.max(1), target } });
    }
    answer
}

#[cfg(test)]
mod tests;
