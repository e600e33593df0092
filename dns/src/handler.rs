//! DNS messages in and out: which zone a question belongs to, and records on the wire.

use crate::forward::Upstream;
use crate::names;
use crate::zone::{self, Answer, Data, TTL, Type, View};
use async_trait::async_trait;
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{Edns, Header, HeaderCounts, Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_server::proto::rr::rdata::{A, AAAA, CNAME, PTR, SOA, SRV, TXT};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use std::str::FromStr;

/// The largest UDP answer offered to clients that speak EDNS; the value of DNS flag day 2020.
const MAX_UDP: u16 = 1232;

/// Answers requests from one view and, outside its domain, from the name servers above.
#[derive(Debug)]
pub struct Handler<V> {
    view: V,
    domain: Name,
    upstream: Upstream,
}

/// What goes into the sections of a response.
#[derive(Debug, Default)]
struct Sections {
    code: ResponseCode,
    authoritative: bool,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additionals: Vec<Record>,
    truncated: bool,
}

impl Sections {
    fn code(code: ResponseCode) -> Self {
        Self { code, ..Self::default() }
    }
}

impl<V: View + Send + Sync + Unpin + 'static> Handler<V> {
    /// `domain` without a final dot: `cluster.local`. `None` when it is no domain name.
    pub fn new(view: V, domain: &str, upstream: Upstream) -> Option<Self> {
        let mut name = Name::from_str(domain).ok()?.to_lowercase();
        name.set_fqdn(true);
        Some(Self { view, domain: name, upstream })
    }

    async fn answer(&self, request: &Request) -> Sections {
        let Ok(info) = request.request_info() else { return Sections::code(ResponseCode::FormErr) };
        if info.metadata.op_code != OpCode::Query || info.metadata.message_type != MessageType::Query {
            return Sections::code(ResponseCode::NotImp);
        }
        let asked: Name = info.query.name().into();
        let kind = info.query.query_type();
        if self.domain.zone_of(&asked) {
            let found = self.inside(&asked, kind);
            return self.follow(request, found, &asked, kind).await;
        }
        let labels = labels(&asked);
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        if let Some(found) = names::reverse_address(&labels).and_then(|a| zone::reverse(&self.view, a, type_of(kind))) {
            return self.sections(&found, &asked);
        }
        self.above(request.as_slice(), info.protocol).await
    }

    fn inside(&self, asked: &Name, kind: RecordType) -> Answer {
        let labels = labels(asked);
        let own = labels.len().saturating_sub(usize::from(self.domain.num_labels()));
        let labels: Vec<&str> = labels[..own].iter().map(String::as_str).collect();
        zone::answer(&self.view, &names::parse(&labels), type_of(kind))
    }

    /// An alias to a name inside is followed here, one to a name outside is asked above.
    async fn follow(&self, request: &Request, found: Answer, asked: &Name, kind: RecordType) -> Sections {
        let mut sections = self.sections(&found, asked);
        let [only] = found.records.as_slice() else { return sections };
        let (Data::Cname(target), true) = (&only.data, kind != RecordType::CNAME) else { return sections };
        let Some(target) = absolute(target) else { return sections };
        sections.authorities.clear();
        if self.domain.zone_of(&target) {
            sections.answers.extend(self.sections(&self.inside(&target, kind), &target).answers);
        } else if !self.upstream.is_empty() {
            let mut message = Message::query();
            message.metadata.id = request.metadata.id;
            message.add_query(hickory_server::proto::op::Query::query(target, kind));
            if let Ok(bytes) = message.to_vec() {
                sections.answers.extend(self.above(&bytes, request.protocol()).await.answers);
            }
        }
        sections
    }

    async fn above(&self, message: &[u8], protocol: Protocol) -> Sections {
        if self.upstream.is_empty() {
            return Sections::code(ResponseCode::Refused);
        }
        let answer = self.upstream.ask(message, protocol != Protocol::Udp).await;
        let Some(answer) = answer.and_then(|bytes| Message::from_vec(&bytes).ok()) else {
            return Sections::code(ResponseCode::ServFail);
        };
        Sections {
            code: answer.metadata.response_code,
            authoritative: false,
            truncated: answer.metadata.truncation,
            answers: answer.answers,
            authorities: answer.authorities,
            additionals: answer.additionals,
        }
    }

    fn sections(&self, answer: &Answer, asked: &Name) -> Sections {
        let records =
            |list: &[zone::Record]| -> Vec<Record> { list.iter().filter_map(|r| self.record(r, asked)).collect() };
        let mut sections = Sections {
            code: if answer.exists { ResponseCode::NoError } else { ResponseCode::NXDomain },
            authoritative: true,
            answers: records(&answer.records),
            additionals: records(&answer.additional),
            ..Sections::default()
        };
        if sections.answers.is_empty() {
            sections.authorities.extend(self.soa());
        }
        sections
    }

    fn record(&self, record: &zone::Record, asked: &Name) -> Option<Record> {
        let owner = match &record.owner {
            Some(owner) => self.absolute_inside(owner)?,
            None => asked.clone(),
        };
        let data = match &record.data {
            Data::Address(std::net::IpAddr::V4(address)) => RData::A(A(*address)),
            Data::Address(std::net::IpAddr::V6(address)) => RData::AAAA(AAAA(*address)),
            Data::Cname(target) => RData::CNAME(CNAME(absolute(target)?)),
            Data::Ptr(target) => RData::PTR(PTR(self.absolute_inside(target)?)),
            Data::Srv { port, weight, target } => {
                RData::SRV(SRV::new(0, *weight, *port, self.absolute_inside(target)?))
            }
            Data::Txt(text) => RData::TXT(TXT::new(vec![(*text).to_owned()])),
        };
        Some(Record::from_rdata(owner, TTL, data))
    }

    fn absolute_inside(&self, relative: &str) -> Option<Name> {
        Name::from_str(relative).ok()?.append_domain(&self.domain).ok()
    }

    /// The start of authority that lets resolvers keep negative answers.
    fn soa(&self) -> Option<Record> {
        let primary = Name::from_str("ns.dns").ok()?.append_domain(&self.domain).ok()?;
        let mail = Name::from_str("hostmaster").ok()?.append_domain(&self.domain).ok()?;
        let soa = SOA::new(primary, mail, 1, 7200, 1800, 86400, TTL);
        Some(Record::from_rdata(self.domain.clone(), TTL, RData::SOA(soa)))
    }
}

fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_str(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// Lower-case labels, leftmost first. Bytes outside ASCII never match anything here.
fn labels(name: &Name) -> Vec<String> {
    name.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect()
}

fn type_of(kind: RecordType) -> Type {
    match kind {
        RecordType::A => Type::A,
        RecordType::AAAA => Type::Aaaa,
        RecordType::SRV => Type::Srv,
        RecordType::CNAME => Type::Cname,
        RecordType::TXT => Type::Txt,
        RecordType::PTR => Type::Ptr,
        _ => Type::Other,
    }
}

#[async_trait]
impl<V: View + Send + Sync + Unpin + 'static> RequestHandler for Handler<V> {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut responder: R) -> ResponseInfo {
        let sections = self.answer(request).await;
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = sections.code;
        metadata.authoritative = sections.authoritative;
        metadata.recursion_available = !self.upstream.is_empty();
        metadata.truncation = sections.truncated;
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload().clamp(512, MAX_UDP));
            edns
        });
        let builder = MessageResponseBuilder::new(&request.queries, edns.as_ref());
        let response = builder.build(metadata, &sections.answers, &sections.authorities, [], &sections.additionals);
        match responder.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, "a DNS answer was not sent");
                metadata.response_code = ResponseCode::ServFail;
                ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
            }
        }
    }
}
