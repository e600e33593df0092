//! Byte tunnels between an upgraded request and an upgraded answer.

use super::super::request::body::{self, Body};
use http::{Request, Response};
use hyper_util::rt::TokioIo;

/// Whether a request asks to leave HTTP.
pub fn wants_upgrade<B>(request: &Request<B>) -> bool {
    let connection = request.headers().get_all(http::header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    connection.flat_map(|v| v.split(',')).any(|word| word.trim().eq_ignore_ascii_case("upgrade"))
        && request.headers().contains_key(http::header::UPGRADE)
}

/// Joins the client's connection with the backend's once both have switched protocols. `answer` is the backend's 101.
/// Answers the 101 for the client.
pub fn join<B>(client: hyper::upgrade::OnUpgrade, mut answer: Response<B>) -> Response<Body> {
    let backend = hyper::upgrade::on(&mut answer);
    let (parts, _) = answer.into_parts();
    tokio::spawn(async move {
        let (client, backend) = match tokio::try_join!(client, backend) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(%error, "a tunnel was not established");
                return;
            }
        };
        let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
        if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut backend).await {
            tracing::debug!(%error, "a tunnel was cut");
        }
    });
    Response::from_parts(parts, body::empty())
}
