//! Statuses become responses here and nowhere else.

use crate::api::encode;
use crate::request::body::{self, Body};
use crate::request::negotiate::{Accepted, Form};
use apimachinery::{GroupVersionKind, Status};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};

/// The JSON of a Status.
pub fn json(status: &Status) -> Vec<u8> {
    serde_json::to_vec(status).unwrap_or_default()
}

/// A response that carries a Status, in the encoding that the client accepts.
pub fn response(status: &Status, accepted: &Accepted) -> Response<Body> {
    let plain = Accepted { form: Form::Object, ..accepted.clone() };
    let kind = GroupVersionKind::new("", "v1", "Status");
    let (encoding, bytes) = match encode::write(&plain, &kind, json(status).into()) {
        Ok(bytes) => (plain.encoding, bytes),
        Err(_) => (crate::request::negotiate::Encoding::Json, json(status).into()),
    };
    let mut response = Response::new(body::full(bytes));
    *response.status_mut() = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(encoding.media_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let retry = status.details.as_ref().map_or(0, |d| d.retry_after_seconds);
    if retry > 0 {
        headers.insert(RETRY_AFTER, HeaderValue::from(retry));
    }
    response
}

/// Plain text, as upstream answers what is no API path.
pub fn text(code: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(body::full(text.into()));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// What upstream's router answers before any handler sees the request: no route for the method, none that reads the
/// body's type, none that writes an accepted type (`NewGenericServerResponse` with go-restful's own words).
pub fn unroutable(code: u16, reason: &str, message: impl Into<String>) -> Status {
    Status::failure(code, reason, message).with_details(apimachinery::status::Details::default())
}

/// The resource is there, the method is not.
pub fn no_such_method() -> Status {
    unroutable(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
}

/// A Go error that no handler gave a reason: 500 with nothing but its text.
pub fn untyped(message: impl Into<String>) -> Status {
    Status::failure(500, "", message)
}

/// 404 for a path that nothing serves.
pub fn no_such_path() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}
