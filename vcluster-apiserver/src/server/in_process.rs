//! The server as a tower service, for clients that live in the same process.

use super::Server;
use super::chain::Identity;
use crate::request::UserInfo;
use crate::request::body::{self, Body, BoxError};
use bytes::Bytes;
use http::{Request, Response};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// See the module. Generic over the request's body, so that `kube::Client::new` takes it as it is.
#[derive(Clone)]
pub struct InProcess {
    server: Server,
    identity: Identity,
}

impl InProcess {
    pub(super) fn new(server: Server, user: UserInfo) -> Self {
        Self { server, identity: Identity::Known(Arc::new(user)) }
    }
}

impl<B> tower::Service<Request<B>> for InProcess
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(this.server.handle(&this.identity, request.map(body::boxed)).await) })
    }
}
