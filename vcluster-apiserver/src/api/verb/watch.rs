//! Watches: from a revision or with the current state first, through selectors, with bookmarks, until their time is over
//! (k8s.io/apiserver `pkg/endpoints/handlers/watch.go`, `pkg/storage/cacher`).
//!
//! A watch is a stream that the connection pulls: nothing is buffered for a slow client but its position in the ring.

use super::super::frame::{self, Shape, Word};
use super::super::selection::Selection;
use super::super::table::Include;
use super::super::{Api, Call};
use super::get::{parse_version, reach};
use crate::registry::resource::Resource;
use crate::registry::store::storage_status;
use crate::request::body::{self, Body, BoxError};
use crate::request::negotiate::{self, Encoding, Offer};
use crate::request::options::ListOptions;
use apimachinery::Status;
use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use storage::cache::{Event, Follow};
use storage::{Entry, EventKind, Range, Revision};
use tokio::time::Instant;

const BOOKMARK_EVERY: Duration = Duration::from_mins(1);
/// A last bookmark goes out this long before the end.
const BEFORE_END: Duration = Duration::from_secs(2);
/// How much is put together before it is handed to the connection.
const CHUNK: usize = 64 * 1024;

pub async fn serve(api: &Arc<Api>, call: &Call) -> Result<Response<Body>, Status> {
    let resource = &call.target.resource;
    let mut options = ListOptions::parse(&call.query, true)?;
    if call.info.verb_in_path && !call.target.name.is_empty() {
        options.field_selector = format!("metadata.name={}", call.target.name);
    }
    let accepted = negotiate::response(&call.headers, Some("0"), Offer::RESOURCE.streamed())?;
    let include = Include::parse(call.query.get("includeObject"))?;
    let selection = Selection::parse(resource, &options.label_selector, &options.field_selector)?;
    parse_version(&options.resource_version)?;
    let shape = Shape { accepted, include, kind: resource.kind.clone() };
    let media = match shape.accepted.encoding {
        Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        Encoding::Json | Encoding::Yaml => "application/json",
    };
    let body = match Watching::start(api, call, &options, selection, shape.clone()).await {
        Ok(watching) => stream(watching),
        // The client is told in the stream: upstream has already answered 200 when it finds out.
        Err(status) => body::full(frame::error(&shape, &status)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

fn stream(watching: Watching) -> Body {
    let frames = futures::stream::unfold(watching, |mut watching| async move {
        let bytes = watching.next().await?;
        Some((Ok::<_, BoxError>(Frame::data(bytes)), watching))
    });
    body::boxed(StreamBody::new(frames))
}

/// One watch and where it stands.
struct Watching {
    api: Arc<Api>,
    resource: Arc<Resource>,
    namespace: Option<Arc<str>>,
    selection: Selection,
    shape: Shape,
    follow: Follow,
    initial: VecDeque<Arc<Entry>>,
    /// The revision of the initial events, while the bookmark that ends them is owed.
    owed: Option<Revision>,
    bookmarks: bool,
    next_bookmark: Instant,
    end: Instant,
    /// Whether a table still owes its column definitions.
    header: bool,
    over: bool,
    draining: tokio::sync::watch::Receiver<bool>,
}

impl Watching {
    async fn start(
        api: &Arc<Api>,
        call: &Call,
        options: &ListOptions,
        selection: Selection,
        shape: Shape,
    ) -> Result<Self, Status> {
        let resource = call.target.resource.clone();
        let asked = options.resource_version.as_str();
        let from_state = match options.send_initial_events {
            Some(send) => send,
            None => matches!(asked, "" | "0"),
        };
        let reached = reach(api, call, asked).await?;
        let namespace = call.namespace().or_else(|| selection.namespace());
        let mut initial = VecDeque::new();
        let after = if from_state {
            let snapshot = api.cache.snapshot(&resource.stored.resource);
            let range =
                Range { resource: resource.stored.resource.clone(), namespace: namespace.clone(), ..Range::default() };
            initial.extend(snapshot.range(&range).filter(|entry| selection.matches(entry)).cloned());
            snapshot.revision
        } else {
            match parse_version(asked)? {
                Some(revision) if revision > Revision(0) => revision,
                _ => reached,
            }
        };
        let follow = api.cache.follow(Some(&resource.stored.resource), after).await.map_err(|e| match e {
            storage::Error::Compacted { asked, oldest } => {
                Status::expired(format!("too old resource version: {asked} ({oldest})"))
            }
            other => storage_status(&other, &call.target),
        })?;
        let now = Instant::now();
        // Without a wish of the client the end is spread, so that not all watches come back at once.
        let seconds = options.timeout.unwrap_or_else(|| 1800 + api.store.rng.below(1800) as u64);
        let end = now + Duration::from_secs(seconds);
        let owed = (options.send_initial_events == Some(true) && options.allow_bookmarks).then_some(after);
        Ok(Self {
            api: api.clone(),
            resource,
            namespace,
            selection,
            shape,
            follow,
            initial,
            owed,
            bookmarks: options.allow_bookmarks,
            next_bookmark: first_bookmark(now, end),
            end,
            header: true,
            over: false,
            draining: api.draining.clone(),
        })
    }

    /// The next bytes; none when the watch is over.
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        if !self.initial.is_empty() {
            return self.initial_chunk();
        }
        if let Some(revision) = self.owed.take() {
            return self.bookmark(revision, true);
        }
        loop {
            let wake = if self.bookmarks { self.next_bookmark.min(self.end) } else { self.end };
            tokio::select! {
                biased;
                event = self.follow.next() => match event {
                    Ok(event) => {
                        if let Some(bytes) = self.chunk(&event) {
                            return Some(bytes);
                        }
                    }
                    Err(storage::Error::Closed) => return None,
                    Err(error) => return Some(self.fail(&Status::expired(error.to_string()))),
                },
                () = tokio::time::sleep_until(wake) => {
                    let now = Instant::now();
                    if now >= self.end {
                        return None;
                    }
                    self.next_bookmark = first_bookmark(now, self.end);
                    let revision = self.follow.progress();
                    return self.bookmark(revision, false);
                }
                () = crate::server::drained(&mut self.draining) => return None,
            }
        }
    }

    fn initial_chunk(&mut self) -> Option<Bytes> {
        let mut out = BytesMut::new();
        while let Some(entry) = self.initial.pop_front() {
            let now = self.api.store.clock.now();
            let header = std::mem::take(&mut self.header);
            match frame::of_body(&self.resource, &self.shape, Word::Added, &entry.body, header, now) {
                Ok(bytes) => out.extend_from_slice(&bytes),
                Err(status) => return Some(self.fail(&status)),
            }
            if out.len() >= CHUNK {
                break;
            }
        }
        Some(out.freeze())
    }

    /// The frames of an event and of those that are there already behind it; none when the watcher sees none of them.
    fn chunk(&mut self, first: &Event) -> Option<Bytes> {
        let mut out = BytesMut::new();
        match self.frame(first) {
            Ok(frame) => out.extend_from_slice(&frame.unwrap_or_default()),
            Err(status) => return Some(self.fail(&status)),
        }
        while out.len() < CHUNK {
            let Some(event) = self.follow.ready(1).pop() else { break };
            match self.frame(&event) {
                Ok(frame) => out.extend_from_slice(&frame.unwrap_or_default()),
                Err(status) => {
                    out.extend_from_slice(&self.fail(&status));
                    break;
                }
            }
        }
        (!out.is_empty()).then(|| out.freeze())
    }

    fn frame(&mut self, event: &Event) -> Result<Option<Bytes>, Status> {
        let Some(word) = self.seen_as(event) else { return Ok(None) };
        let header = std::mem::take(&mut self.header);
        let now = self.api.store.clock.now();
        frame::of_event(&self.resource, &self.shape, event, word, header, now).map(Some)
    }

    /// What a change is to this watcher: an object that leaves the selection is deleted, one that enters is added.
    fn seen_as(&self, event: &Event) -> Option<Word> {
        if self.namespace.as_ref().is_some_and(|ns| *ns != event.entry.key.namespace) {
            return None;
        }
        let before = event.previous.as_ref().is_some_and(|entry| self.selection.matches(entry));
        let after = event.kind != EventKind::Deleted && self.selection.matches(&event.entry);
        match (before, after) {
            (false, false) => None,
            (false, true) => Some(Word::Added),
            (true, true) => Some(Word::Modified),
            (true, false) => Some(Word::Deleted),
        }
    }

    fn bookmark(&mut self, revision: Revision, end: bool) -> Option<Bytes> {
        match frame::bookmark(&self.shape, revision, end) {
            Ok(bytes) => Some(bytes),
            Err(status) => Some(self.fail(&status)),
        }
    }

    fn fail(&mut self, status: &Status) -> Bytes {
        self.over = true;
        frame::error(&self.shape, status)
    }
}

fn first_bookmark(now: Instant, end: Instant) -> Instant {
    let last = end.checked_sub(BEFORE_END).unwrap_or(end);
    let next = now + BOOKMARK_EVERY;
    if next < last || last <= now { next } else { last }
}
