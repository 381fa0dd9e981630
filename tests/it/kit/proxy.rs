//! A TCP proxy that misbehaves as told, between a client and a server on this machine.
//!
//! Guarantees: what it passes it passes unchanged and in order, until it is told otherwise; a connection of which it
//! has lost a byte never carries another one. Told at run time: pass, a trickle, half-open, refuse; and to cut what
//! there is.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What is read at once, bytes.
const PIECE_BYTES: usize = 16 * 1024;
/// A trickle comes in so many parts a second.
const PARTS_A_SECOND: u32 = 20;

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As if it were not there.
    Pass,
    /// Each connection carries so many bytes a second in each direction.
    Trickle(u32),
    /// Connections are accepted and stay open, and nothing gets through: what is sent is swallowed.
    HalfOpen,
    /// A Kafka client's requests to write are swallowed, and all behind them on their connection; others get through.
    NoWrites,
    /// A Kafka client's requests to read are swallowed, and no others: whoever asks where the ends are is answered.
    NoReads,
    /// No connection is taken, and those that are open are cut.
    Refuse,
}

#[derive(Debug, Clone, Copy)]
struct Order {
    mode: Mode,
    /// Connections of an earlier generation are cut.
    generation: u64,
}

/// A running proxy.
pub struct Proxy {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    target: Arc<AtomicU16>,
    order: watch::Sender<Order>,
    accepted: Arc<AtomicU64>,
    _runtime: Runtime,
}

impl Proxy {
    /// Listens; [`Proxy::to`] says where it leads.
    pub fn start() -> Proxy {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (target, accepted) = (Arc::new(AtomicU16::new(0)), Arc::new(AtomicU64::new(0)));
        let (order, orders) = watch::channel(Order { mode: Mode::Pass, generation: 0 });
        let (to, count) = (Arc::clone(&target), Arc::clone(&accepted));
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(client, to.load(Ordering::Relaxed), orders.clone()));
            }
        });
        Proxy { port, target, order, accepted, _runtime: runtime }
    }

    /// From now on new connections lead to this port.
    pub fn to(&self, port: u16) {
        self.target.store(port, Ordering::Relaxed);
    }

    /// Behaves so from now on, also on connections that are open.
    pub fn set(&self, mode: Mode) {
        self.order.send_modify(|order| order.mode = mode);
    }

    /// Resets every connection that is open.
    pub fn cut(&self) {
        self.order.send_modify(|order| order.generation += 1);
    }

    /// Connections taken so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

/// One connection, from its beginning to its end: as its two sides end it, or a reset.
async fn serve(mut client: TcpStream, target: u16, mut orders: watch::Receiver<Order>) {
    let generation = orders.borrow_and_update().generation;
    let is_over = move |order: &Order| order.generation != generation || order.mode == Mode::Refuse;
    if is_over(&orders.borrow()) {
        return reset(&client);
    }
    let Ok(mut server) = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, target))).await else {
        return reset(&client);
    };
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let there = carry(Way::There, from_client, to_server, orders.clone());
        let back = carry(Way::Back, from_server, to_client, orders.clone());
        tokio::select! {
            ended = async { tokio::try_join!(there, back) } => ended.map(|_| ()),
            _ = orders.wait_for(is_over) => Err(Lost),
        }
    };
    if ended.is_err() {
        reset(&client);
        reset(&server);
    }
}

/// Whatever was under way is lost, and both sides are to know it.
struct Lost;

/// Dropping it will be a reset.
fn reset(stream: &TcpStream) {
    // Whoever cannot be reset is gone.
    let _ = stream.set_zero_linger();
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From the client to the server.
    There,
    Back,
}

/// One direction, up to its end.
async fn carry(
    way: Way,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut orders: watch::Receiver<Order>,
) -> Result<(), Lost> {
    let mut piece = vec![0; PIECE_BYTES];
    // What began and is not whole yet, of requests that are looked at one by one.
    let mut requests = Vec::new();
    let mut has_lost = false;
    loop {
        let mode = orders.borrow_and_update().mode;
        if has_lost && !matches!(mode, Mode::HalfOpen | Mode::NoWrites | Mode::NoReads) {
            return Err(Lost);
        }
        let at_most = match mode {
            Mode::Trickle(bytes) => usize::try_from(bytes / PARTS_A_SECOND).unwrap_or(1).clamp(1, PIECE_BYTES),
            _ => PIECE_BYTES,
        };
        let read = tokio::select! {
            read = from.read(&mut piece[..at_most]) => read,
            changed = orders.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return Err(Lost),
            },
        };
        let bytes = read.map_err(|_| Lost)?;
        let mode = orders.borrow().mode;
        let is_swallowed = match mode {
            Mode::HalfOpen => true,
            Mode::NoWrites => has_lost || way == Way::There && asks_for(WRITE, &piece[..bytes]),
            Mode::Pass | Mode::Trickle(_) | Mode::NoReads | Mode::Refuse => false,
        };
        if is_swallowed {
            has_lost = true;
            match bytes {
                0 => return Err(Lost),
                _ => continue,
            }
        }
        if let Mode::Trickle(_) = mode {
            tokio::time::sleep(Duration::from_secs(1) / PARTS_A_SECOND).await;
        }
        if bytes == 0 {
            return to.shutdown().await.map_err(|_| Lost);
        }
        if mode == Mode::NoReads && way == Way::There {
            requests.extend_from_slice(&piece[..bytes]);
            while let Some(request) = first_of(&mut requests) {
                match asks_for(READ, &request) {
                    true => has_lost = true,
                    false => to.write_all(&request).await.map_err(|_| Lost)?,
                }
            }
            continue;
        }
        to.write_all(&piece[..bytes]).await.map_err(|_| Lost)?;
    }
}

/// What a client asks for, as Kafka numbers it.
const WRITE: [u8; 2] = [0, 0];
const READ: [u8; 2] = [0, 1];

/// Takes the first whole request away: its length, then so many bytes.
fn first_of(requests: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = u32::from_be_bytes(*requests.first_chunk()?) as usize + 4;
    (requests.len() >= length).then(|| requests.drain(..length).collect())
}

/// Whether what a client says begins with such a request: its length, then the number of what is asked for.
fn asks_for(what: [u8; 2], said: &[u8]) -> bool {
    said.get(4..6) == Some(&what[..])
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// A server that sends back what it gets, and a client through a proxy.
    fn echo() -> (Proxy, std::net::TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let proxy = Proxy::start();
        proxy.to(listener.local_addr().expect("its address").port());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    let (mut from, mut to) = (stream.try_clone().expect("a copy"), stream);
                    let _ = std::io::copy(&mut from, &mut to);
                });
            }
        });
        let client = connect(&proxy);
        (proxy, client)
    }

    fn connect(proxy: &Proxy) -> std::net::TcpStream {
        let client = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port)).expect("a connection");
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        client
    }

    fn said(client: &mut std::net::TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        client.write_all(text)?;
        let mut answer = vec![0; text.len()];
        client.read_exact(&mut answer).map(|()| answer)
    }

    #[test]
    fn it_passes_trickles_and_cuts() {
        let (proxy, mut client) = echo();
        assert_eq!(said(&mut client, b"hello").expect("an answer"), b"hello");
        proxy.set(Mode::Trickle(2000));
        let (began, long) = (std::time::Instant::now(), vec![7; 3000]);
        assert_eq!(said(&mut client, &long).expect("an answer"), long);
        assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());
        proxy.set(Mode::Pass);
        assert_eq!(said(&mut client, b"again").expect("an answer"), b"again");
        proxy.cut();
        let error = said(&mut client, b"x").and_then(|_| said(&mut client, b"y")).expect_err("a reset");
        assert!(error.kind() != std::io::ErrorKind::WouldBlock, "{error}");
        assert_eq!(said(&mut connect(&proxy), b"new").expect("an answer"), b"new");
        assert_eq!(proxy.accepted(), 2);
    }

    #[test]
    fn half_open_swallows_and_what_has_lost_a_byte_carries_no_other() {
        let (proxy, mut client) = echo();
        assert_eq!(said(&mut client, b"hello").expect("an answer"), b"hello");
        proxy.set(Mode::HalfOpen);
        client.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        let error = said(&mut client, b"lost").expect_err("no answer");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        proxy.set(Mode::Pass);
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let error = client.read(&mut [0; 8]).map(|bytes| assert_eq!(bytes, 0, "not a byte")).err();
        assert!(error.is_none_or(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
        proxy.set(Mode::Refuse);
        assert!(said(&mut connect(&proxy), b"x").is_err());
    }
}
