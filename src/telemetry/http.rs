//! `/metrics`, `/healthz` and `/readyz` on an address of their own.
//!
//! Guarantees: every connection has a limit of time and of bytes, so a slow client is dropped; at the limit of
//! connections the oldest makes room for the newest, so a scrape always gets in. Answers GET and HEAD only, reads
//! no body, shows no personal data. Knows no roles: whoever can reach the address can read it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Metrics;
use super::health::Health;

/// Connections at once; one more drops the oldest.
pub const CONNECTIONS_MAX: usize = 32;
/// How long a connection lives, whatever it does.
pub const CONNECTION_TIME_MAX: Duration = Duration::from_secs(10);
/// What is read from one connection, heads and bodies of all its requests together, bytes.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// How long a stop waits for answers under way.
const STOP_TIME_MAX: Duration = Duration::from_millis(300);

/// Where it is served, and when the service counts as ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// The address; port 0 is any free one. `None`: nothing is served.
    pub listen: Option<SocketAddr>,
    /// From so many undecided records on `/readyz` fails.
    pub ready_lag_records_max: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig { listen: None, ready_lag_records_max: 100_000 }
    }
}

/// What is served.
#[derive(Clone)]
struct Served {
    metrics: Metrics,
    health: Health,
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Listens and answers from now on, on `runtime`.
    pub fn start(listen: SocketAddr, metrics: Metrics, health: Health, runtime: &Handle) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let _entered = runtime.enter();
        let door = Door { listener: TcpListener::from_std(listener)?, inside: VecDeque::new() };
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = axum::serve(door, router(Served { metrics, health })).with_graceful_shutdown(async {
            // A server that is dropped stops too.
            let _ = stopped.await;
        });
        let task = runtime.spawn(serving.into_future());
        Ok(Server { address, stop, task })
    }

    /// Where it listens: with the port that was found where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, and waits a moment for those there are.
    pub async fn stop(self) {
        // No receiver: it has ended already.
        let _ = self.stop.send(());
        // What takes longer is cut off with the runtime.
        let _ = tokio::time::timeout(STOP_TIME_MAX, self.task).await;
    }
}

fn router(served: Served) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(served)
}

async fn metrics(State(served): State<Served>) -> Response {
    match served.metrics.text(&served.health.report(Instant::now())) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// The process answers: it is alive.
async fn healthz() -> &'static str {
    "alive\n"
}

async fn readyz(State(served): State<Served>) -> Response {
    let report = served.health.report(Instant::now());
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // A report holds texts only.
    let json = serde_json::to_string_pretty(&report).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{json}\n")).into_response()
}

/// Lets connections in, and the oldest out where there are too many.
struct Door {
    listener: TcpListener,
    /// Asks a connection to leave; oldest first.
    inside: VecDeque<oneshot::Sender<()>>,
}

impl Listener for Door {
    type Io = Visit;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visit, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        self.inside.retain(|leave| !leave.is_closed());
        while self.inside.len() >= CONNECTIONS_MAX {
            let Some(oldest) = self.inside.pop_front() else { break };
            // An error means that it has just left.
            let _ = oldest.send(());
        }
        let (leave, asked) = oneshot::channel();
        self.inside.push_back(leave);
        let ends = Box::pin(tokio::time::sleep(CONNECTION_TIME_MAX));
        (Visit { stream, ends, asked: Some(asked), bytes: 0 }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends at its time, or when it is asked to.
struct Visit {
    stream: TcpStream,
    ends: Pin<Box<tokio::time::Sleep>>,
    /// `None` once nobody can ask any more.
    asked: Option<oneshot::Receiver<()>>,
    /// Read so far.
    bytes: usize,
}

impl Visit {
    /// Fails when it is over; else wakes the task when it will be.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.ends.as_mut().poll(context).is_ready() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if let Some(asked) = &mut self.asked {
            match Pin::new(asked).poll(context) {
                Poll::Ready(Ok(())) => return Err(io::ErrorKind::ConnectionAborted.into()),
                Poll::Ready(Err(_)) => self.asked = None,
                Poll::Pending => {}
            }
        }
        Ok(())
    }
}

impl AsyncRead for Visit {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.bytes += buffer.filled().len().saturating_sub(before);
        let is_too_much = self.bytes > REQUEST_BYTES_MAX;
        Poll::Ready(if is_too_much { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) })
    }
}

impl AsyncWrite for Visit {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;
    use crate::telemetry::health;

    struct Running {
        server: Server,
        health: Health,
        _runtime: tokio::runtime::Runtime,
    }

    fn serve() -> Running {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("it");
        let health = Health::new(Instant::now());
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let metrics = Metrics::new().expect("metrics");
        let server = Server::start(listen, metrics, health.clone(), runtime.handle()).expect("it listens");
        Running { server, health, _runtime: runtime }
    }

    fn connect(running: &Running) -> TcpStream {
        let stream = TcpStream::connect(running.server.address()).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream
    }

    fn ask(running: &Running, request: &str) -> String {
        let mut stream = connect(running);
        stream
            .write_all(format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    #[test]
    fn three_paths_are_answered_and_nothing_else() {
        let running = serve();
        assert!(ask(&running, "GET /healthz").starts_with("HTTP/1.1 200"));
        let starting = ask(&running, "GET /readyz");
        assert!(starting.starts_with("HTTP/1.1 503") && starting.contains("\"starting\""), "{starting}");
        running.health.tell(health::SERVICE, health::State::Ok, "running", Instant::now());
        assert!(ask(&running, "GET /readyz").starts_with("HTTP/1.1 200"));
        let metrics = ask(&running, "GET /metrics");
        assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
        assert!(metrics.contains("\nwalletwatch_ready 1\n"), "{metrics}");
        assert!(ask(&running, "POST /metrics").starts_with("HTTP/1.1 405"));
        assert!(ask(&running, "GET /").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn silent_clients_hold_nobody_up() {
        let running = serve();
        let mut silent: Vec<TcpStream> = (0..CONNECTIONS_MAX + 5).map(|_| connect(&running)).collect();
        silent.iter_mut().for_each(|stream| stream.write_all(b"GET /met").expect("sent"));
        assert!(ask(&running, "GET /metrics").starts_with("HTTP/1.1 200"));
        let mut answer = Vec::new();
        // The oldest had to go; that it was cut off shows as an end or as a reset.
        match silent[0].read_to_end(&mut answer) {
            Ok(_) => assert!(answer.is_empty(), "{answer:?}"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
    }

    #[test]
    fn a_client_that_never_stops_sending_is_cut_off() {
        let running = serve();
        let mut stream = connect(&running);
        stream.write_all(b"POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n").expect("sent");
        let piece = vec![b'x'; 4096];
        let cut_off = (0..100_000).any(|_| stream.write_all(&piece).is_err());
        assert!(cut_off);
        assert!(ask(&running, "GET /healthz").starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn a_stop_ends_it() {
        let running = serve();
        let _silent = connect(&running);
        let address = running.server.address();
        let began = Instant::now();
        running._runtime.block_on(running.server.stop());
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(TcpStream::connect(address).is_err());
    }
}
