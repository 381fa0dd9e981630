//! One POST to one endpoint: how it goes out and what the answer means.
//!
//! Guarantees: no redirect is followed, no proxy of the environment used, no address beyond the allowed ones
//! connected to, even when a name changes its address; it ends in time; the answer's body is never needed and
//! never read. Does not decide when to try again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url, redirect};

use super::address::{Reach, check_url};
use super::signature::{KeyRefused, Signer, seconds};
use crate::deliver::config::WebhookConfig;
use crate::deliver::retry::Outcome;
use crate::deliver::{tls, unreached};
use crate::event::Millis;
use crate::report::Problem;

/// How a key comes to be.
const KEY_HELP: &str = "make one: `echo whsec_$(openssl rand -base64 32) > FILE`";

/// An endpoint, ready for requests.
pub struct Endpoint {
    client: Client,
    url: Url,
    signer: Signer,
    authorization: Option<HeaderValue>,
    requests_max: usize,
}

/// What the resolver says of a name that leads only to addresses that are not allowed.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to a private or reserved address")]
struct AddressRefused;

/// What the resolver says of a name that it cannot resolve.
#[derive(Debug, thiserror::Error)]
#[error("the name cannot be resolved")]
struct NameUnknown;

struct CheckedResolver(Reach);

impl Endpoint {
    /// Checks what the configuration's `section` says and makes the client; all problems at once.
    pub fn build(section: &str, config: &WebhookConfig) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut told = |code, key: &str, message: String, help: Option<&str>| {
            let problem = Problem::nowhere(code, message).about(format!("{section}.{key}"));
            problems.push(Problem { help: help.map(str::to_owned), ..problem });
        };
        let key = config.url_key;
        let url = check_url(config.url.reveal(), &config.allowed_networks)
            .map_err(|why| told("N030", key, format!("`{section}.{key}` is refused: {why}"), Some(why.help())));
        // Each alone, so that the place is the right one; together for their number.
        for (key, secret) in ["secret_file", "old_secret_file"].iter().zip(&config.secrets) {
            if let Err(why) = Signer::new(std::slice::from_ref(secret)) {
                told("N031", key, format!("`{section}.{key}` holds no key that signs: {why}"), Some(KEY_HELP));
            }
        }
        let signer = Signer::new(&config.secrets).map_err(|why| {
            if why == KeyRefused::Number {
                told("N031", "secret_file", format!("the keys of `{section}` do not sign: {why}"), Some(KEY_HELP));
            }
        });
        let authorization = config.authorization.as_ref().map(|secret| HeaderValue::from_str(secret.reveal().trim()));
        let authorization = authorization.transpose().map_err(|_| {
            let message = format!("`{section}.authorization_file` holds characters that a header cannot carry");
            told("N032", "authorization_file", message, Some("one line such as `Bearer …`, in ASCII"));
        });
        let roots = match &config.ca_file {
            Some(file) => tls::read_authorities(file)
                .map(Some)
                .map_err(|why| told("N033", "ca_file", format!("`{section}.ca_file`: {why}"), None)),
            // In clear on the loopback nobody vouches for anybody, and a machine without authorities will do.
            None if url.as_ref().is_ok_and(|url| url.scheme() == "http") => Ok(Some(Vec::new())),
            None => Ok(None),
        };
        let (Ok(url), Ok(signer), Ok(authorization), Ok(roots)) = (url, signer, authorization, roots) else {
            return Err(problems);
        };
        let client = client(config, &url, &config.allowed_networks, roots).map_err(|why| {
            let problem = Problem::nowhere("N034", format!("failed to set up `{section}`: {why}"));
            vec![problem.about(format!("{section}.{key}"))]
        })?;
        let authorization = authorization.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Ok(Endpoint { client, url, signer, authorization, requests_max: config.requests_max.max(1) })
    }

    /// Requests at once.
    pub fn requests_max(&self) -> usize {
        self.requests_max
    }

    /// Sends a body, signed as of `now`.
    pub async fn post(&self, id: &str, body: Vec<u8>, now: Millis) -> Outcome {
        let Some(headers) = self.headers(id, &body, now) else {
            return Outcome::Permanent { reason: "bad_id" };
        };
        match self.client.post(self.url.clone()).headers(headers).body(body).send().await {
            Ok(response) => judge(response.status(), response.headers(), now),
            Err(error) => Outcome::transient(failure(&error)),
        }
    }

    fn headers(&self, id: &str, body: &[u8], now: Millis) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("webhook-id", HeaderValue::from_str(id).ok()?);
        headers.insert("webhook-timestamp", HeaderValue::from(seconds(now)));
        headers.insert("webhook-signature", HeaderValue::from_str(&self.signer.sign(id, now, body)).ok()?);
        if let Some(value) = &self.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        Some(headers)
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| NameUnknown)?;
            let allowed: Vec<SocketAddr> = found.filter(|address| reach.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err(AddressRefused.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn client(
    config: &WebhookConfig,
    url: &Url,
    allowed: &[IpNet],
    roots: Option<Vec<reqwest::Certificate>>,
) -> reqwest::Result<Client> {
    tls::install_provider();
    let builder = Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .retry(reqwest::retry::never())
        .timeout(Duration::from_millis(config.timeout_ms))
        .user_agent(concat!("walletwatch/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(CheckedResolver(Reach::new(allowed.to_vec(), url))));
    match roots {
        Some(roots) => builder.tls_certs_only(roots).build(),
        None => builder.build(),
    }
}

/// What an answer means. A redirect is a failure; what only a person can mend (a wrong path, a lost right) is
/// tried again, for the notice is not to blame; what is wrong with the request itself never will be right.
fn judge(status: StatusCode, headers: &HeaderMap, now: Millis) -> Outcome {
    let retry_after_ms = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| retry_after_ms(v, now));
    let transient = |reason| Outcome::Transient { reason, retry_after_ms };
    match status.as_u16() {
        200..=299 => Outcome::Delivered,
        300..=399 => transient("status_3xx"),
        400 | 413 | 415 | 422 => Outcome::Permanent { reason: "status_4xx" },
        410 => Outcome::Gone,
        429 => transient("status_429"),
        401..=499 => transient("status_4xx"),
        _ => transient("status_5xx"),
    }
}

/// Seconds, or a date as RFC 9110 writes it.
fn retry_after_ms(value: &str, now: Millis) -> Option<i64> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(i64::from(seconds) * 1000);
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?;
    Some(Millis(date.timestamp().as_millisecond()).since(now).max(0))
}

fn failure(error: &reqwest::Error) -> &'static str {
    let mut cause = std::error::Error::source(error);
    let mut reason = "connect";
    while let Some(inner) = cause {
        if inner.is::<NameUnknown>() {
            return unreached::DNS;
        }
        if inner.is::<AddressRefused>() {
            return "address_refused";
        }
        if inner.is::<rustls::Error>() {
            return "tls";
        }
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            reason = unreached::reason(io);
        }
        cause = inner.source().or_else(|| {
            // A TLS failure travels inside an I/O error, which does not name it as its source.
            inner.downcast_ref::<std::io::Error>()?.get_ref().map(|e| e as &(dyn std::error::Error + 'static))
        });
    }
    match error {
        e if e.is_timeout() => "timeout",
        e if e.is_connect() => reason,
        _ => "broken_off",
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, retry_after: Option<&'static str>) -> Outcome {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        }
        judge(StatusCode::from_u16(status).expect("a status"), &headers, Millis(1_700_000_000_000))
    }

    #[test]
    fn only_2xx_is_success() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(told(status, None), Outcome::Delivered);
        }
        assert_eq!(told(302, None), Outcome::transient("status_3xx"));
        assert_eq!(told(410, None), Outcome::Gone);
        assert_eq!(told(422, None), Outcome::Permanent { reason: "status_4xx" });
        assert_eq!(told(403, None), Outcome::transient("status_4xx"));
        assert_eq!(told(500, None), Outcome::transient("status_5xx"));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let waits = |retry_after_ms| Outcome::Transient { reason: "status_429", retry_after_ms };
        assert_eq!(told(429, Some("120")), waits(Some(120_000)));
        assert_eq!(told(429, Some("Tue, 14 Nov 2023 22:14:20 GMT")), waits(Some(60_000)));
        assert_eq!(told(429, Some("Tue, 14 Nov 1994 22:14:20 GMT")), waits(None), "a wrong weekday is no date");
        assert_eq!(told(429, Some("Mon, 14 Nov 1994 22:14:20 GMT")), waits(Some(0)), "already over");
        assert_eq!(told(429, Some("soon")), waits(None));
        assert_eq!(told(429, Some("99999999999999999999")), waits(None));
    }
}
