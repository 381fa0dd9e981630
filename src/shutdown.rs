//! The wish to stop, shared by everybody who runs.
//!
//! Guarantees: once asked for it stays; SIGTERM and SIGINT ask for it. Does not end anything itself.

use std::time::Duration;

use tokio::sync::watch;

/// How long a stop may take.
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// The wish to stop.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Sender<bool>);

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown(watch::Sender::new(false))
    }
}

impl Shutdown {
    /// Asks everybody to stop.
    pub fn request(&self) {
        self.0.send_replace(true);
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when somebody asks.
    pub async fn requested(&self) {
        let mut receiver = self.0.subscribe();
        // The sender lives as long as `self`.
        let _ = receiver.wait_for(|asked| *asked).await;
    }

    /// Asks when the process is told to end.
    pub async fn on_signals(self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, drain_s_max = DRAIN_TIME_MAX.as_secs(), "stopping");
        self.request();
        Ok(())
    }
}
