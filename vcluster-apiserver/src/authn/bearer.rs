//! Bearer tokens, from the `Authorization` header or, for browsers, from a websocket subprotocol
//! (k8s.io/apiserver `pkg/authentication/request/{bearertoken,websocket}`).

use super::{Authenticator, Outcome, Peer, TokenAuthenticator};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use std::sync::Arc;

const PROTOCOL_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// Finds the token of a request and asks every token scheme about it.
pub struct Bearer {
    schemes: Vec<Arc<dyn TokenAuthenticator>>,
}

impl Bearer {
    pub fn new(schemes: Vec<Arc<dyn TokenAuthenticator>>) -> Self {
        Self { schemes }
    }
}

#[async_trait]
impl TokenAuthenticator for Bearer {
    async fn authenticate_token(&self, token: &str, audiences: &[String]) -> Outcome {
        let mut failures = Vec::new();
        for scheme in &self.schemes {
            match scheme.authenticate_token(token, audiences).await {
                Outcome::NotRequested => {}
                Outcome::Failed(why) => failures.push(why),
                accepted @ Outcome::Authenticated { .. } => return accepted,
            }
        }
        let why = if failures.is_empty() { "invalid bearer token".to_owned() } else { failures.join(", ") };
        Outcome::Failed(why)
    }
}

#[async_trait]
impl Authenticator for Bearer {
    async fn authenticate(&self, _: &Peer, headers: &HeaderMap) -> Outcome {
        let token = match header_token(headers) {
            Some(token) => token.to_owned(),
            None => match websocket_token(headers) {
                Ok(Some(token)) => token,
                Ok(None) => return Outcome::NotRequested,
                Err(why) => return Outcome::Failed(why.to_owned()),
            },
        };
        self.authenticate_token(&token, &[]).await
    }
}

fn header_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let mut parts = value.splitn(3, ' ');
    let scheme = parts.next()?;
    let token = parts.next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    values.filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).map(str::trim)
}

fn websocket_token(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let upgrade = headers.get(UPGRADE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !upgrade.eq_ignore_ascii_case("websocket") {
        return Ok(None);
    }
    let mut token = None;
    let mut others = 0;
    for protocol in protocols(headers) {
        let Some(encoded) = protocol.strip_prefix(PROTOCOL_PREFIX) else {
            others += 1;
            continue;
        };
        if token.is_some() {
            return Err("multiple base64.bearer.authorization tokens specified");
        }
        let bytes =
            URL_SAFE_NO_PAD.decode(encoded).map_err(|_| "invalid base64.bearer.authorization token encoding")?;
        token = Some(String::from_utf8(bytes).map_err(|_| "invalid base64.bearer.authorization token")?);
    }
    match token {
        Some(token) if token.is_empty() => Ok(None),
        Some(_) if others == 0 => Err("missing additional subprotocol"),
        token => Ok(token),
    }
}

/// Takes the credentials away from a request that was authenticated, so that no later layer, and no backend the
/// request is proxied to, sees them.
pub fn strip(headers: &mut HeaderMap) {
    headers.remove(AUTHORIZATION);
    if protocols(headers).any(|p| p.starts_with(PROTOCOL_PREFIX)) {
        let rest: Vec<&str> = protocols(headers).filter(|p| !p.starts_with(PROTOCOL_PREFIX)).collect();
        let rest = HeaderValue::from_str(&rest.join(", ")).ok();
        headers.remove(SEC_WEBSOCKET_PROTOCOL);
        if let Some(rest) = rest {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_str(v).unwrap())).collect()
    }

    #[test]
    fn the_header_is_read_as_upstream_reads_it() {
        let cases = [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            (" Bearer abc  ", Some("abc")),
            ("Bearer abc def", Some("abc")),
            ("Bearer  abc", None),
            ("Bearer", None),
            ("Basic abc", None),
        ];
        for (value, wanted) in cases {
            assert_eq!(header_token(&headers(&[("authorization", value)])), wanted, "{value}");
        }
    }

    #[test]
    fn a_websocket_may_carry_the_token_as_a_protocol() {
        let ask = |protocols: &str| {
            websocket_token(&headers(&[("upgrade", "websocket"), ("sec-websocket-protocol", protocols)]))
        };
        let token = "base64url.bearer.authorization.k8s.io.YWJj";
        assert_eq!(ask(&format!("{token}, v5.channel.k8s.io")), Ok(Some("abc".into())));
        assert_eq!(ask("v5.channel.k8s.io"), Ok(None));
        assert_eq!(ask(token), Err("missing additional subprotocol"));
        assert_eq!(ask(&format!("{token},x,{token}")), Err("multiple base64.bearer.authorization tokens specified"));
        let broken = "base64url.bearer.authorization.k8s.io.!!,x";
        assert_eq!(ask(broken), Err("invalid base64.bearer.authorization token encoding"));
        assert_eq!(websocket_token(&headers(&[("sec-websocket-protocol", token)])), Ok(None));
    }

    #[test]
    fn credentials_do_not_travel_on() {
        let mut map = headers(&[
            ("authorization", "Bearer x"),
            ("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.YWJj,v5.channel.k8s.io"),
        ]);
        strip(&mut map);
        assert_eq!(map.get(AUTHORIZATION), None);
        assert_eq!(map[SEC_WEBSOCKET_PROTOCOL], "v5.channel.k8s.io");
    }
}
