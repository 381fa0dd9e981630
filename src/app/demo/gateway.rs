//! An SMS gateway on the loopback: takes signed requests, verifies and keeps them.
//!
//! So the demo's messages go the way they go in production: outbox, worker, template, signature, HTTP.
//! Guarantees: 200 is said once the request is in its file; one that is not signed with our key gets 401.
//! Sends nothing to anybody.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::runtime::Handle;

use super::fact::{Fact, Letter, Teller};
use super::folder::SMS_KEY;
use crate::deliver::webhook::Signer;
use crate::event::Millis;
use crate::secret::Secret;

/// The headers that are kept.
const HEADERS: [&str; 4] = ["content-type", "webhook-id", "webhook-timestamp", "webhook-signature"];

/// Where requests go.
struct Gateway {
    folder: PathBuf,
    teller: Teller,
    signer: Signer,
    kept: AtomicU64,
}

/// What stands in a file.
#[derive(serde::Serialize)]
struct Kept<'k> {
    headers: std::collections::BTreeMap<&'k str, &'k str>,
    body: &'k str,
}

/// What the generic template puts into a body.
#[derive(serde::Deserialize)]
struct Body {
    to: String,
    text: String,
}

/// Starts it on a free port; it ends with the runtime.
pub fn start(folder: PathBuf, teller: Teller, runtime: &Handle) -> std::io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let signer = Signer::new(&[Secret::new(SMS_KEY)]).map_err(std::io::Error::other)?;
    let gateway = Arc::new(Gateway { folder, teller, signer, kept: AtomicU64::new(0) });
    let router = Router::new().route("/sms", post(receive)).with_state(gateway);
    let _inside = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    runtime.spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the demo's SMS gateway has ended");
        }
    });
    Ok(address)
}

async fn receive(State(gateway): State<Arc<Gateway>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    match gateway.keep(&headers, &body) {
        Ok(()) => StatusCode::OK,
        Err(status) => status,
    }
}

impl Gateway {
    fn keep(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), StatusCode> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let seconds: i64 = header("webhook-timestamp").parse().map_err(|_| StatusCode::BAD_REQUEST)?;
        let signature = self.signer.sign(header("webhook-id"), Millis(seconds.saturating_mul(1000)), body);
        if signature != header("webhook-signature") {
            return Err(StatusCode::UNAUTHORIZED);
        }
        let text = std::str::from_utf8(body).map_err(|_| StatusCode::BAD_REQUEST)?;
        let parsed: Body = serde_json::from_str(text).map_err(|_| StatusCode::BAD_REQUEST)?;
        let kept = Kept { headers: HEADERS.map(|name| (name, header(name))).into(), body: text };
        let number = self.kept.fetch_add(1, Ordering::Relaxed) + 1;
        let file = format!("sms/{number:03}.json");
        let json = serde_json::to_vec_pretty(&kept).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        std::fs::write(self.folder.join(&file), json).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        // Nobody listens any more at the very end.
        let _ = self.teller.tell(Fact::Sms(Letter { to: parsed.to, text: parsed.text, file }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_signed_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("sms")).expect("made");
        let (teller, _told) = Teller::new(std::time::Instant::now());
        let signer = Signer::new(&[Secret::new(SMS_KEY)]).expect("a key");
        let gateway =
            Gateway { folder: folder.path().to_owned(), teller, signer: signer.clone(), kept: AtomicU64::new(0) };
        let body = br#"{"to":"+861100000000","text":"hello"}"#;
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "nt_1".parse().expect("a header"));
        headers.insert("webhook-timestamp", "1700000000".parse().expect("a header"));
        headers.insert("webhook-signature", "v1,forged".parse().expect("a header"));
        assert_eq!(gateway.keep(&headers, body), Err(StatusCode::UNAUTHORIZED));
        let signature = signer.sign("nt_1", Millis(1_700_000_000_000), body);
        headers.insert("webhook-signature", signature.parse().expect("a header"));
        assert_eq!(gateway.keep(&headers, b"{}"), Err(StatusCode::UNAUTHORIZED), "another body");
        assert_eq!(gateway.keep(&headers, body), Ok(()));
        assert!(folder.path().join("sms/001.json").exists());
    }
}
