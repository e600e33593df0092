//! Watch events as bytes: encoded once per event and shape, shared by every watcher that wants the same.

use super::encode;
use super::table::{Include, Table};
use crate::registry::resource::Resource;
use crate::request::negotiate::{Accepted, Encoding, Form};
use apimachinery::{GroupVersionKind, Status};
use bytes::Bytes;
use std::sync::{Mutex, PoisonError};
use storage::cache::Event;
use storage::{EventKind, Revision};

/// The word in a frame's `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

impl Word {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
            Self::Bookmark => "BOOKMARK",
            Self::Error => "ERROR",
        }
    }
}

/// How the frames of one watch look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub accepted: Accepted,
    pub include: Include,
    /// The served kind, which tells the versions of one stored resource apart.
    pub kind: GroupVersionKind,
}

struct Key {
    shape: Shape,
    word: Word,
    header: bool,
    /// Whether the object before the change is shown.
    previous: bool,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        (self.word, self.header, self.previous) == (other.word, other.header, other.previous)
            && self.shape == other.shape
    }
}

/// The frames that were made of one event.
#[derive(Default)]
struct Made(Mutex<Vec<(Key, Bytes)>>);

/// The frame of a change as a watcher whose selection sees it as `word`. `header`: a table with its column definitions.
/// A deletion that only leaves the selection shows the object as it was, dated with the change.
pub fn of_event(
    resource: &Resource,
    shape: &Shape,
    event: &Event,
    word: Word,
    header: bool,
    now: jiff::Timestamp,
) -> Result<Bytes, Status> {
    let previous = word == Word::Deleted && event.kind != EventKind::Deleted;
    let header = header && matches!(shape.accepted.form, Form::Table(_));
    let key = Key { shape: shape.clone(), word, header, previous };
    let made = event.frames.get_or_init(Made::default);
    if let Some(frame) = find(&made, &key) {
        return Ok(frame);
    }
    let body = match &event.previous {
        Some(before) if previous => redated(resource, &before.body, event.revision()),
        _ => event.entry.body.clone(),
    };
    let frame = of_body(resource, shape, word, &body, header, now)?;
    made.0.lock().unwrap_or_else(PoisonError::into_inner).push((key, frame.clone()));
    Ok(frame)
}

fn find(made: &Made, key: &Key) -> Option<Bytes> {
    let frames = made.0.lock().unwrap_or_else(PoisonError::into_inner);
    frames.iter().find(|(k, _)| k == key).map(|(_, frame)| frame.clone())
}

/// The frame of a stored body.
pub fn of_body(
    resource: &Resource,
    shape: &Shape,
    word: Word,
    stored: &Bytes,
    header: bool,
    now: jiff::Timestamp,
) -> Result<Bytes, Status> {
    if let Form::Table(version) = &shape.accepted.form {
        let mut table = Table::new(resource, version, shape.include, now);
        if !header {
            table = table.without_header();
        }
        table.add(stored)?;
        let json = table.finish(&super::table::revision(stored), "", None);
        return wrap(shape, word, &GroupVersionKind::new("meta.k8s.io", version.as_str(), "Table"), json.into());
    }
    let (kind, json) = encode::shape(resource, &shape.accepted.form, shape.include, stored, now)?;
    wrap(shape, word, &kind, json)
}

/// A bookmark: nothing but kind, version and revision; `end` marks the end of the initial events.
pub fn bookmark(shape: &Shape, revision: Revision, end: bool) -> Result<Bytes, Status> {
    let annotations = if end { ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" } else { "" };
    let kind = match &shape.accepted.form {
        Form::PartialMetadata(v) | Form::PartialMetadataList(v) => {
            GroupVersionKind::new("meta.k8s.io", v.as_str(), "PartialObjectMetadata")
        }
        Form::Table(v) => GroupVersionKind::new("meta.k8s.io", v.as_str(), "Table"),
        Form::Object | Form::Discovery(_) => shape.kind.clone(),
    };
    let tail = if matches!(shape.accepted.form, Form::Table(_)) {
        // Upstream's table of a bookmark carries the bookmark itself in its only row.
        format!(
            ",\"columnDefinitions\":null,\"rows\":[{{\"cells\":[],\"object\":{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\
             \"metadata\":{{\"resourceVersion\":\"{revision}\"{annotations}}}}}}}]",
            shape.kind.kind,
            shape.kind.api_version()
        )
    } else {
        String::new()
    };
    let json = format!(
        "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{{\"resourceVersion\":\"{revision}\"{annotations}}}{tail}}}",
        kind.kind,
        kind.api_version()
    );
    wrap(shape, Word::Bookmark, &kind, json.into())
}

/// An error as an event; the watch ends after it.
pub fn error(shape: &Shape, status: &Status) -> Bytes {
    let kind = GroupVersionKind::new("", "v1", "Status");
    let plain = Shape { accepted: Accepted { form: Form::Object, ..shape.accepted.clone() }, ..shape.clone() };
    wrap(&plain, Word::Error, &kind, super::error::json(status).into()).unwrap_or_default()
}

fn wrap(shape: &Shape, word: Word, kind: &GroupVersionKind, json: Bytes) -> Result<Bytes, Status> {
    if shape.accepted.encoding == Encoding::Protobuf {
        return super::codec::watch_frame(word.as_str(), kind, &json);
    }
    let mut frame = Vec::with_capacity(json.len() + 40);
    frame.extend_from_slice(b"{\"type\":\"");
    frame.extend_from_slice(word.as_str().as_bytes());
    frame.extend_from_slice(b"\",\"object\":");
    frame.extend_from_slice(&json);
    frame.extend_from_slice(b"}\n");
    Ok(frame.into())
}

/// A stored body with another revision in it, whose place is known from how bodies begin.
pub fn redated(resource: &Resource, body: &Bytes, revision: Revision) -> Bytes {
    let head = format!("{}\"metadata\":{{\"resourceVersion\":\"", resource.type_prefix());
    let Some(rest) = body.strip_prefix(head.as_bytes()) else { return body.clone() };
    let digits = rest.iter().take_while(|c| c.is_ascii_digit()).count();
    let mut out = head.into_bytes();
    out.extend_from_slice(revision.to_string().as_bytes());
    out.extend_from_slice(&rest[digits..]);
    out.into()
}
