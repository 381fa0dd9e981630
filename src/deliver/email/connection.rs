//! Connections to the mail server: a few of our own, each used by one mail at a time.
//!
//! lettre's pool is not used: a send that was cancelled there leaves its reply in the connection, and the next
//! mail takes it for its own. Here a connection that did not end well is dropped, whatever the reason.
//!
//! Guarantees: without TLS nothing is said (but to loopback, where that is configured); a mail counts as sent
//! on reply 250 only; every try ends in time. Does not retry.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use tokio::net::lookup_host;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::deliver::config::EmailSecurity;
use crate::deliver::retry::Outcome;
use crate::deliver::unreached;

/// A connection idle for longer is not used again: servers close them.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// The only good answer to a mail.
const ACCEPTED: u16 = 250;

/// Where the mail server is and how to talk to it.
pub(super) struct Server {
    pub host: String,
    pub port: u16,
    pub security: EmailSecurity,
    pub tls: TlsParameters,
    pub hello_name: ClientId,
    pub credentials: Option<Credentials>,
    pub timeout: Duration,
}

/// The connections.
pub(super) struct Connections {
    server: Server,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
    slots: Semaphore,
}

impl Connections {
    pub fn new(server: Server, connections_max: usize) -> Self {
        Connections { server, idle: Mutex::new(Vec::new()), slots: Semaphore::new(connections_max.max(1)) }
    }

    /// Sends one mail.
    pub async fn send(self: Arc<Self>, envelope: Envelope, mail: Vec<u8>) -> Outcome {
        let Ok(_slot) = self.slots.acquire().await else {
            return Outcome::transient("closed");
        };
        // Dropping what did not end in time drops its connection with it.
        match timeout(self.server.timeout, self.try_send(&envelope, &mail)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::transient("timeout"),
        }
    }

    async fn try_send(&self, envelope: &Envelope, mail: &[u8]) -> Outcome {
        let mut connection = match self.connection().await {
            Ok(connection) => connection,
            Err(reason) => return Outcome::transient(reason),
        };
        match connection.send(envelope, mail).await {
            Ok(response) if response.has_code(ACCEPTED) => {
                self.keep(connection);
                Outcome::Delivered
            }
            Ok(_) => Outcome::transient("smtp_reply"),
            Err(error) => judge(&error),
        }
    }

    /// One that waits and still answers, or a new one.
    async fn connection(&self) -> Result<AsyncSmtpConnection, &'static str> {
        while let Some(mut waiting) = self.take_idle() {
            if waiting.test_connected().await {
                return Ok(waiting);
            }
        }
        self.connect().await
    }

    /// What fails here is the server's or the configuration's fault, not the mail's: it may pass.
    async fn connect(&self) -> Result<AsyncSmtpConnection, &'static str> {
        let Server { host, port, security, tls, hello_name, credentials, timeout } = &self.server;
        let found = lookup_host((host.as_str(), *port)).await.map_err(|_| unreached::DNS)?;
        let addresses: Vec<SocketAddr> = found.collect();
        let wrapped = (*security == EmailSecurity::Tls).then(|| tls.clone());
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(addresses.as_slice(), Some(*timeout), hello_name, wrapped, None)
                .await
                .map_err(|e| unconnected(&e))?;
        if *security == EmailSecurity::StartTls {
            connection.starttls(tls.clone(), hello_name).await.map_err(|_| "starttls")?;
        }
        if *security != EmailSecurity::Plaintext && !connection.is_encrypted() {
            return Err("starttls");
        }
        if let Some(credentials) = credentials {
            connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await.map_err(|_| "auth")?;
        }
        Ok(connection)
    }

    fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < IDLE_MAX);
        idle.pop().map(|(connection, _)| connection)
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        if !connection.has_broken() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push((connection, Instant::now()));
        }
    }
}

/// Why there is no connection. `greeting`: somebody answers, and not as a mail server that takes mail does.
fn unconnected(error: &lettre::transport::smtp::Error) -> &'static str {
    match error {
        e if e.is_tls() => "tls",
        e if e.is_response() || e.is_permanent() || e.is_transient() => "greeting",
        e => unreached::io_cause(e).map_or("connect", unreached::reason),
    }
}

fn judge(error: &lettre::transport::smtp::Error) -> Outcome {
    match error {
        e if e.is_permanent() => Outcome::Permanent { reason: "smtp_5xx" },
        e if e.is_transient() => Outcome::transient("smtp_4xx"),
        e if e.is_response() => Outcome::transient("smtp_reply"),
        // Such as an address the server cannot carry: no later try helps.
        e if e.is_client() => Outcome::Permanent { reason: "smtp_client" },
        _ => Outcome::transient("broken_off"),
    }
}
