//! Logs, shells and forwards: the server's seam over the syncer's streams to the host.

use apimachinery::Status;
use async_trait::async_trait;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use vcluster_apiserver::proxy::{ConnectTarget, Connector, tunnel};
use vcluster_apiserver::request::RequestCx;
use vcluster_apiserver::request::body::{self, Body};

pub struct HostConnector(pub syncer::HostStreams);

#[async_trait]
impl Connector for HostConnector {
    async fn connect(&self, _: &RequestCx, target: &ConnectTarget, request: Request<Body>) -> Response<Body> {
        match self.forward(request).await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(%error, pod = target.name, "the host did not take a stream");
                failed(&Status::service_unavailable(format!("the host could not be reached: {error}")))
            }
        }
    }
}

impl HostConnector {
    async fn forward(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>> {
        let client_side = hyper::upgrade::on(&mut request);
        let (parts, body) = request.into_parts();
        let bytes = body.collect().await?.to_bytes();
        let answer = self.0.forward(Request::from_parts(parts, bytes)).await?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(tunnel::join(client_side, answer));
        }
        Ok(answer.map(body::boxed))
    }
}

fn failed(status: &Status) -> Response<Body> {
    let bytes = serde_json::to_vec(status).unwrap_or_default();
    let mut response = Response::new(body::full(bytes));
    *response.status_mut() = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
