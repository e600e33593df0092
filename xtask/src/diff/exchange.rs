//! What is sent and what comes back. A request is the same for both sides; what a side must put into it of its own
//! (the live object, its resource version, a continue token) is filled in from that side's earlier answers.

use super::edit::Edit;
use super::side::Memory;
use bytes::Bytes;
use schema::codec::{Envelope, envelope_to_json, json_to_envelope};
use serde_json::Value;

pub const JSON: &str = "application/json";
pub const YAML: &str = "application/yaml";
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// What a request carries.
#[derive(Clone, Debug, Default)]
pub enum Body {
    #[default]
    None,
    /// Sent as it is, `{{rv}}`, `{{uid}}` and `{{continue}}` filled in.
    Text(String),
    /// An object in the encoding of the request's Content-Type.
    Object(Value),
    /// The scenario's live object with changes.
    Live(Vec<Edit>),
}

/// One request, for both sides.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// What the request tries, for the report.
    pub about: String,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Body,
    /// Whether the answer is the scenario's live object from now on.
    pub keep: bool,
}

impl Request {
    pub fn new(method: &str, path: impl Into<String>) -> Self {
        Self { method: method.to_owned(), path: path.into(), ..Self::default() }
    }

    pub fn about(mut self, what: impl Into<String>) -> Self {
        self.about = what.into();
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn accept(self, media_type: &str) -> Self {
        self.header("accept", media_type)
    }

    /// A body and its Content-Type.
    pub fn body(mut self, content_type: &str, body: Body) -> Self {
        self.body = body;
        self.header("content-type", content_type)
    }

    pub fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    fn content_type(&self) -> &str {
        self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type")).map_or("", |(_, value)| value)
    }

    /// Path and body for the side whose memory this is.
    pub fn filled(&self, memory: &Memory) -> (String, Bytes) {
        let body = match &self.body {
            Body::None => Bytes::new(),
            Body::Text(text) => memory.fill(text).into(),
            Body::Object(object) => self.encode(object),
            Body::Live(edits) => {
                let mut object = memory.live.clone();
                for edit in edits {
                    edit.apply(&mut object);
                }
                self.encode(&object)
            }
        };
        (memory.fill(&self.path), body)
    }

    /// An object that has no form in the encoding goes out as JSON: the sides judge that alike too.
    fn encode(&self, object: &Value) -> Bytes {
        let json = object.to_string();
        let encoded = match self.content_type() {
            PROTOBUF => protobuf(object, &json),
            YAML => schema::yaml::to_yaml(object).ok().map(Bytes::from),
            _ => None,
        };
        encoded.unwrap_or_else(|| json.into())
    }
}

fn protobuf(object: &Value, json: &str) -> Option<Bytes> {
    let (api_version, kind) = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let row = schema::kind_of(group, version, kind)?;
    json_to_envelope(row, api_version, kind, json.as_bytes()).ok().map(Bytes::from)
}

/// One answer, its body decoded to JSON as far as that is possible.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// The compared headers, sorted; names in lower case.
    pub headers: Vec<(String, String)>,
    /// One value, or one an event of a watch.
    pub body: Value,
    /// How the bytes of a protobuf body are others than those that our tables make of `body`; empty when they are the
    /// same. So two equal bodies are equal bytes.
    pub oddity: String,
}

/// Headers that clients act on.
const HEADERS: [&str; 6] = ["allow", "cache-control", "content-type", "retry-after", "warning", "location"];

impl Answer {
    pub fn new(status: u16, headers: impl Iterator<Item = (String, String)>, body: &[u8], watch: bool) -> Self {
        let mut headers: Vec<_> = headers.filter(|(name, _)| HEADERS.contains(&name.as_str())).collect();
        headers.sort();
        let content_type = headers.iter().find(|(name, _)| name == "content-type").map_or("", |(_, value)| value);
        let stream = watch && status == 200;
        let oddity = if content_type.starts_with(PROTOBUF) && !stream { oddity(body) } else { String::new() };
        let body = if stream { events(content_type, body) } else { decode(content_type, body) };
        Self { status, headers, body, oddity }
    }

    /// The reason of a Status, empty for other bodies.
    pub fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or_default()
    }
}

fn decode(content_type: &str, body: &[u8]) -> Value {
    let plain = || Value::String(String::from_utf8_lossy(body).into_owned());
    if content_type.starts_with(PROTOBUF) {
        let json = envelope_to_json(body).ok();
        return json.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_else(plain);
    }
    if content_type.starts_with(YAML) {
        return schema::yaml::from_yaml(body).map_or_else(|_| plain(), |(value, _)| value);
    }
    if content_type.starts_with(JSON) {
        return serde_json::from_slice(body).unwrap_or_else(|_| plain());
    }
    plain()
}

fn oddity(body: &[u8]) -> String {
    let again = || {
        let envelope = Envelope::parse(body)?;
        let json = envelope_to_json(body)?;
        json_to_envelope(envelope.message_type()?, envelope.api_version, envelope.kind, &json)
    };
    match again() {
        Ok(again) if again == body => String::new(),
        Ok(again) => {
            let same = again.iter().zip(body).take_while(|(a, b)| a == b).count();
            let around = same.saturating_sub(24)..body.len().min(same + 24);
            format!("{} of {} bytes, then {}", same, body.len(), body[around].escape_ascii())
        }
        Err(error) => error.to_string(),
    }
}

/// The events of a watch that has ended.
fn events(content_type: &str, body: &[u8]) -> Value {
    if content_type.starts_with(PROTOBUF) {
        return Value::Array(frames(body));
    }
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap_or(Value::Null)).collect()
}

fn frames(mut body: &[u8]) -> Vec<Value> {
    let mut events = Vec::new();
    while let Some((length, rest)) = body.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some((frame, rest)) = rest.split_at_checked(length) else { break };
        body = rest;
        events.push(frame_to_json(frame).unwrap_or(Value::Null));
    }
    events
}

/// `WatchEvent`: field 1 is the type, field 2 a `RawExtension` whose field 1 is the object's envelope.
fn frame_to_json(frame: &[u8]) -> Option<Value> {
    let magic = frame.windows(schema::codec::MAGIC.len()).position(|bytes| bytes == schema::codec::MAGIC)?;
    let object = serde_json::from_slice(&envelope_to_json(&frame[magic..]).ok()?).ok()?;
    let length = usize::from(*frame.get(1)?);
    let event = String::from_utf8_lossy(frame.get(2..2 + length)?).into_owned();
    let mut value = serde_json::json!({ "type": event });
    value["object"] = object;
    Some(value)
}
