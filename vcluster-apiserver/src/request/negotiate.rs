//! Content negotiation: what a client accepts and what it sent
//! (k8s.io/apiserver `pkg/endpoints/handlers/negotiation`).
//!
//! It refuses with 406 what cannot be produced and with 415 what cannot be read.

use crate::api::error;
use apimachinery::Status;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};

pub const JSON: &str = "application/json";
pub const YAML: &str = "application/yaml";
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// The types of patches that built-in kinds take.
const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    Json,
    Yaml,
    Protobuf,
}

impl Encoding {
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Yaml => YAML,
            Self::Protobuf => PROTOBUF,
        }
    }
}

/// As what an object is shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    Object,
    /// `meta.k8s.io` version: `v1` or `v1beta1`.
    Table(String),
    PartialMetadata(String),
    PartialMetadataList(String),
    /// Aggregated discovery of this version.
    Discovery(String),
}

/// The answer's shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Accepted {
    pub encoding: Encoding,
    pub form: Form,
    pub pretty: bool,
}

impl Accepted {
    /// Plain JSON, for answers that are made before or without negotiation.
    pub fn json() -> Self {
        Self { encoding: Encoding::Json, form: Form::Object, pretty: false }
    }
}

/// What an endpoint can produce.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    pub yaml: bool,
    pub protobuf: bool,
    pub table: bool,
    pub partial: bool,
    pub discovery: bool,
    /// A stream of frames: no YAML.
    pub stream: bool,
}

impl Offer {
    pub const RESOURCE: Self =
        Self { yaml: true, protobuf: true, table: true, partial: true, discovery: false, stream: false };
    /// Objects that are answered and never stored: reviews, tokens.
    pub const TRANSIENT: Self =
        Self { yaml: true, protobuf: true, table: false, partial: false, discovery: false, stream: false };
    pub const DISCOVERY: Self =
        Self { yaml: true, protobuf: true, table: false, partial: false, discovery: true, stream: false };

    pub fn streamed(self) -> Self {
        Self { yaml: false, stream: true, ..self }
    }

    fn encodings(self) -> Vec<Encoding> {
        let mut all = vec![Encoding::Json];
        if self.yaml {
            all.push(Encoding::Yaml);
        }
        if self.protobuf {
            all.push(Encoding::Protobuf);
        }
        all
    }

    fn media_types(self) -> Vec<String> {
        let suffix = if self.stream { ";stream=watch" } else { "" };
        self.encodings().iter().map(|e| format!("{}{suffix}", e.media_type())).collect()
    }

    fn forms(self, encoding: Encoding, parameters: &Parameters) -> Option<Form> {
        let Some(kind) = &parameters.kind else {
            return (parameters.group.is_none() && parameters.version.is_none()).then_some(Form::Object);
        };
        let group = parameters.group.as_deref().unwrap_or_default();
        let version = parameters.version.clone().unwrap_or_default();
        let meta = group == "meta.k8s.io" && matches!(version.as_str(), "v1" | "v1beta1");
        match kind.as_str() {
            "Table" if meta && self.table && encoding != Encoding::Protobuf => Some(Form::Table(version)),
            "PartialObjectMetadata" if meta && self.partial => Some(Form::PartialMetadata(version)),
            "PartialObjectMetadataList" if meta && self.partial => Some(Form::PartialMetadataList(version)),
            "APIGroupDiscoveryList" if group == "apidiscovery.k8s.io" && version == "v2" && self.discovery => {
                Some(Form::Discovery(version))
            }
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
struct Parameters {
    kind: Option<String>,
    group: Option<String>,
    version: Option<String>,
    stream: Option<String>,
    pretty: bool,
}

struct Clause<'a> {
    media: &'a str,
    quality: f32,
    parameters: Parameters,
}

fn clauses(header: &str) -> Vec<Clause<'_>> {
    let mut all: Vec<Clause<'_>> = header
        .split(',')
        .filter_map(|part| {
            let mut pieces = part.split(';');
            let media = pieces.next()?.trim();
            let (kind, subtype) = media.split_once('/').unwrap_or((media, "*"));
            if kind.is_empty() || subtype.is_empty() {
                return None;
            }
            let mut clause = Clause { media, quality: 1.0, parameters: Parameters::default() };
            for piece in pieces {
                let (name, value) = piece.split_once('=')?;
                let value = value.trim().trim_matches('"').to_owned();
                match name.trim() {
                    "q" => clause.quality = value.parse().unwrap_or(1.0),
                    "as" => clause.parameters.kind = Some(value),
                    "g" => clause.parameters.group = Some(value),
                    "v" => clause.parameters.version = Some(value),
                    "stream" => clause.parameters.stream = Some(value),
                    "pretty" => clause.parameters.pretty = value == "1",
                    _ => {}
                }
            }
            Some(clause)
        })
        .collect();
    // Stable: clauses of equal quality stay in the client's order; exact types go before wildcards.
    all.sort_by(|a, b| b.quality.total_cmp(&a.quality).then_with(|| a.media.contains('*').cmp(&b.media.contains('*'))));
    all
}

/// The first acceptable clause of `Accept`, by quality and then by order.
pub fn response(headers: &HeaderMap, pretty: Option<&str>, offer: Offer) -> Result<Accepted, Status> {
    let header = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect::<Vec<_>>().join(",");
    let pretty = wants_pretty(headers, pretty);
    if header.trim().is_empty() {
        return Ok(Accepted { encoding: Encoding::Json, form: Form::Object, pretty });
    }
    for clause in clauses(&header) {
        for encoding in offer.encodings() {
            let full = encoding.media_type();
            let kind = full.split('/').next().unwrap_or_default();
            let matches = clause.media == full || clause.media == "*/*" || clause.media == format!("{kind}/*");
            if !matches || clause.parameters.stream.as_deref().is_some_and(|s| !s.is_empty() && s != "watch") {
                continue;
            }
            if let Some(form) = offer.forms(encoding, &clause.parameters) {
                return Ok(Accepted { encoding, form, pretty: pretty || clause.parameters.pretty });
            }
        }
    }
    let types = offer.media_types();
    Err(Status::not_acceptable(&types.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// What upstream's router requires before a handler negotiates: a patch of a known type, and an `Accept` that names one
/// of the types without regard to parameters. Wildcards of a part of the type mean nothing to it.
pub fn route(headers: &HeaderMap, verb: &str) -> Result<(), Status> {
    if verb == "patch" && !PATCHES.contains(&content_type(headers).as_str()) {
        return Err(error::unroutable(415, "UnsupportedMediaType", "415: Unsupported Media Type"));
    }
    let header = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect::<Vec<_>>().join(",");
    let named = |clause: &str| {
        let media = clause.split(';').next().unwrap_or_default().trim();
        matches!(media, JSON | YAML | PROTOBUF | "*/*")
    };
    if header.is_empty() || header.split(',').any(named) {
        return Ok(());
    }
    let streams = if matches!(verb, "list" | "watch") {
        ", application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
    } else {
        ""
    };
    let message = format!("406: Not Acceptable\n\nAvailable representations: {JSON}, {YAML}, {PROTOBUF}{streams}");
    Err(error::unroutable(406, "NotAcceptable", message))
}

fn wants_pretty(headers: &HeaderMap, parameter: Option<&str>) -> bool {
    if let Some(value) = parameter.filter(|v| !v.is_empty()) {
        return matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True");
    }
    let agent = headers.get(USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|prefix| agent.starts_with(prefix))
}

/// The media type of a body, without its parameters; JSON when it is not said.
pub fn content_type(headers: &HeaderMap) -> String {
    let header = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or(JSON);
    let media = header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media.is_empty() { JSON.to_owned() } else { media }
}

/// How a body is written, or 415.
pub fn request(headers: &HeaderMap, protobuf: bool) -> Result<Encoding, Status> {
    match content_type(headers).as_str() {
        JSON => Ok(Encoding::Json),
        YAML => Ok(Encoding::Yaml),
        PROTOBUF if protobuf => Ok(Encoding::Protobuf),
        _ if protobuf => Err(Status::unsupported_media_type(&[JSON, YAML, PROTOBUF])),
        _ => Err(Status::unsupported_media_type(&[JSON, YAML])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accept(header: &str, offer: Offer) -> Option<(Encoding, Form)> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, header.parse().ok()?);
        response(&headers, None, offer).ok().map(|a| (a.encoding, a.form))
    }

    #[test]
    fn the_first_acceptable_clause_wins() {
        let table = || Form::Table("v1".into());
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let discovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        for (header, offer, expected) in [
            ("*/*", Offer::RESOURCE, Some((Encoding::Json, Form::Object))),
            ("application/*", Offer::RESOURCE, Some((Encoding::Json, Form::Object))),
            (kubectl, Offer::RESOURCE, Some((Encoding::Json, table()))),
            (kubectl, Offer::TRANSIENT, Some((Encoding::Json, Form::Object))),
            ("application/json;as=Table;v=v1;g=meta.k8s.io", Offer::TRANSIENT, None),
            ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", Offer::RESOURCE, None),
            (
                "application/vnd.kubernetes.protobuf,application/json",
                Offer::RESOURCE,
                Some((Encoding::Protobuf, Form::Object)),
            ),
            ("application/json;q=0.1,application/yaml", Offer::RESOURCE, Some((Encoding::Yaml, Form::Object))),
            ("application/json;stream=watch", Offer::RESOURCE.streamed(), Some((Encoding::Json, Form::Object))),
            ("application/yaml", Offer::RESOURCE.streamed(), None),
            ("text/plain", Offer::RESOURCE, None),
            (discovery, Offer::DISCOVERY, Some((Encoding::Json, Form::Discovery("v2".into())))),
        ] {
            assert_eq!(accept(header, offer), expected, "{header}");
        }
    }

    #[test]
    fn an_unacceptable_request_names_what_would_do() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, "text/html".parse().unwrap());
        let status = response(&headers, None, Offer::RESOURCE).unwrap_err();
        assert_eq!(status.code, 406);
        assert!(status.message.contains("application/json, application/yaml, application/vnd.kubernetes.protobuf"));
    }

    proptest! {
        #[test]
        fn any_header_is_answered(header in "[ -~]{0,80}") {
            let mut headers = HeaderMap::new();
            if let Ok(value) = header.parse() {
                headers.insert(ACCEPT, value);
            }
            let _ = response(&headers, None, Offer::RESOURCE);
        }
    }
}
