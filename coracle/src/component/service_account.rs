//! Clients that act as service accounts of `kube-system`, each with a token of its own that is asked for when first needed
//! and renewed before it expires. Upstream's `client-go`-based `DynamicControllerClientBuilder`
//! (`staging/src/k8s.io/controller-manager/pkg/clientbuilder`) does the same.

use super::Deps;
use anyhow::Context as _;
use apimachinery::clock::Clock;
use futures::future::{BoxFuture, FutureExt};
use http::header::{AUTHORIZATION, HeaderValue};
use http::{Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::client::Body;
use kube::config::AuthInfo;
use kube::{Api, Client};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::Mutex;

const NAMESPACE: &str = "kube-system";
/// What is asked for; a server may give less.
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);
/// A token is renewed when less than this is left of it.
const MARGIN: SignedDuration = SignedDuration::from_mins(12);

/// Makes clients for service accounts, all over the same connections.
pub struct ServiceAccounts {
    /// Has no identity of its own.
    transport: Client,
    accounts: Api<ServiceAccount>,
    clock: Arc<dyn Clock>,
}

impl ServiceAccounts {
    pub fn new(deps: &Deps) -> anyhow::Result<Self> {
        let mut anonymous = deps.config.clone();
        anonymous.auth_info = AuthInfo::default();
        let transport = Client::try_from(anonymous).context("cannot use the kubeconfig")?;
        Ok(Self { transport, accounts: Api::namespaced(deps.client.clone(), NAMESPACE), clock: deps.clock.clone() })
    }

    /// A client that acts as the account of this name. The account is made if it is not there.
    pub fn client(&self, name: &str) -> Client {
        let account = Account {
            name: name.to_owned(),
            accounts: self.accounts.clone(),
            clock: self.clock.clone(),
            token: Mutex::default(),
        };
        Client::new(Acting { account: Arc::new(account), transport: self.transport.clone() }, "default")
    }
}

struct Account {
    name: String,
    accounts: Api<ServiceAccount>,
    clock: Arc<dyn Clock>,
    token: Mutex<Option<Token>>,
}

struct Token {
    header: HeaderValue,
    expires: Timestamp,
}

impl Account {
    async fn token(&self) -> Result<HeaderValue, kube::Error> {
        // Held over the request, so that one is made for all who wait.
        let mut token = self.token.lock().await;
        let now = self.clock.now();
        if let Some(token) = token.as_ref().filter(|token| token.expires.duration_since(now) > MARGIN) {
            return Ok(token.header.clone());
        }
        let status = match self.request().await {
            Err(kube::Error::Api(missing)) if missing.code == 404 => {
                self.create().await?;
                self.request().await?.status
            }
            answer => answer?.status,
        };
        let status = status.unwrap_or_default();
        let token_text = status.token.unwrap_or_default();
        let mut header = HeaderValue::try_from(format!("Bearer {token_text}"))
            .map_err(|error| kube::Error::BuildRequest(kube::core::request::Error::BuildRequest(error.into())))?;
        header.set_sensitive(true);
        // A server that tells no end is asked again soon.
        let expires = status.expiration_timestamp.map_or(now, |time| time.0);
        *token = Some(Token { header: header.clone(), expires });
        Ok(header)
    }

    async fn request(&self) -> Result<TokenRequest, kube::Error> {
        let spec = TokenRequestSpec { expiration_seconds: Some(LIFETIME.as_secs()), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        self.accounts.create_token_request(&self.name, &PostParams::default(), &request).await
    }

    async fn create(&self) -> Result<(), kube::Error> {
        let mut account = ServiceAccount::default();
        account.metadata.name = Some(self.name.clone());
        match self.accounts.create(&PostParams::default(), &account).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Requests as one account.
#[derive(Clone)]
struct Acting {
    account: Arc<Account>,
    transport: Client,
}

impl tower::Service<Request<Body>> for Acting {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, kube::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let this = self.clone();
        async move {
            request.headers_mut().insert(AUTHORIZATION, this.account.token().await?);
            let response = this.transport.send(request).await?;
            // The account was deleted and made again, or the server has other keys: the next request asks for a new token.
            if response.status() == StatusCode::UNAUTHORIZED {
                *this.account.token.lock().await = None;
            }
            Ok(response)
        }
        .boxed()
    }
}
