//! A real HTTPS gateway with a CA of its own: keeps every request, verifies its signature, answers as told.
//!
//! Guarantees: signatures are verified by the `standardwebhooks` crate, not by our code; TLS is real.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use standardwebhooks::Webhook;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::tls::Authority;

/// The gateway's signing key, as Standard Webhooks writes it.
pub const SIGNING_KEY: &str = "whsec_Y2FuYXJ5LXNpZ25pbmcta2V5LTEyMzQ1Ng==";

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// `webhook-id`: the idempotency key.
    pub id: String,
    /// The body.
    pub body: String,
    /// Whether the signature was right.
    pub verified: bool,
}

struct Shared {
    requests: Mutex<Vec<Request>>,
    answers: Mutex<Vec<u16>>,
    /// The keys that were answered by 503 once; `None`: nobody is.
    stumbled: Mutex<Option<BTreeSet<String>>>,
    webhook: Webhook,
}

/// A running gateway.
pub struct Gateway {
    /// Where to post.
    pub url: String,
    /// The CA to trust.
    pub ca_file: PathBuf,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _folder: TempDir,
}

impl Gateway {
    /// Starts one.
    pub fn start() -> Gateway {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = Authority::create(folder.path());
        let shared = Arc::new(Shared {
            requests: Mutex::new(Vec::new()),
            answers: Mutex::new(Vec::new()),
            stumbled: Mutex::new(None),
            webhook: Webhook::new(SIGNING_KEY).expect("a key"),
        });
        let acceptor = TlsAcceptor::from(Arc::new(server_config(&authority)));
        let router = Router::new().route("/sms", post(receive)).with_state(Arc::clone(&shared));
        let (ready, address) = std::sync::mpsc::sync_channel(1);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
                ready.send(listener.local_addr().expect("an address")).expect("somebody waits");
                tokio::select! {
                    () = serve(listener, acceptor, router) => {}
                    _ = stopped => {}
                }
            });
        });
        let address: SocketAddr = address.recv().expect("an address");
        Gateway {
            url: format!("https://localhost:{}/sms", address.port()),
            ca_file: authority.ca_file,
            shared,
            stop: Some(stop),
            thread: Some(thread),
            _folder: folder,
        }
    }

    /// The statuses of the next answers; then 200 again.
    pub fn answer_next(&self, statuses: &[u16]) {
        let mut answers = self.shared.answers.lock().expect("no panic before");
        answers.clear();
        answers.extend(statuses.iter().rev());
    }

    /// From now on the first request of every fourth key is taken and answered by 503: whoever sent it must send the
    /// same again.
    pub fn stumble(&self) {
        self.shared.stumbled.lock().expect("no panic before").get_or_insert_default();
    }

    /// What came so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().expect("no panic before").clone()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn server_config(authority: &Authority) -> ServerConfig {
    let cert = CertificateDer::from_pem_slice(authority.cert_pem.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(authority.key_pem.as_bytes()).expect("a key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .expect("a certificate for the key")
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, router: Router) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = TowerToHyperService::new(router);
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let verified = shared.webhook.verify(&body, &headers).is_ok();
    let request = Request { id: text("webhook-id"), body: String::from_utf8_lossy(&body).into_owned(), verified };
    let stumbles = shared.stumbled.lock().expect("no panic before").as_mut().is_some_and(|stumbled| {
        let is_fourth = request.id.bytes().map(usize::from).sum::<usize>().is_multiple_of(4);
        is_fourth && stumbled.insert(request.id.clone())
    });
    shared.requests.lock().expect("no panic before").push(request);
    if stumbles {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let status = shared.answers.lock().expect("no panic before").pop().unwrap_or(200);
    StatusCode::from_u16(status).expect("a status")
}
