//! Bodies: one boxed type on both sides of the server, and the bounded read of a request's
//! (k8s.io/apiserver `pkg/endpoints/handlers/rest.go`, `limitedReadBody`).
//!
//! It refuses bodies over [`LIMIT`] with 413 before more than that is in memory.

use apimachinery::Status;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};

/// Upstream's `MaxRequestBodyBytes`: 3 MiB.
pub const LIMIT: usize = 3 * 1024 * 1024;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every request and response inside the server.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

pub fn empty() -> Body {
    full(Bytes::new())
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Boxes a body of any kind.
pub fn boxed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// The whole body, or 413 as soon as it is too long.
pub async fn read(body: Body) -> Result<Bytes, Status> {
    let too_large = || Status::too_large(format!("Request entity too large: limit is {LIMIT}"));
    if http_body::Body::size_hint(&body).lower() > LIMIT as u64 {
        return Err(too_large());
    }
    let mut body = body;
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Status::bad_request(format!("the body could not be read: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if collected.len() + data.len() > LIMIT {
            return Err(too_large());
        }
        collected.extend_from_slice(&data);
    }
    Ok(collected.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bodies_are_read_up_to_the_limit() {
        assert_eq!(read(full("abc")).await.unwrap(), "abc");
        assert_eq!(read(full(vec![b'x'; LIMIT])).await.unwrap().len(), LIMIT);
        assert_eq!(read(full(vec![b'x'; LIMIT + 1])).await.unwrap_err().code, 413);
    }
}
