//! `demo`: a day of an invented wallet through the very pipeline of `run`, on an embedded broker.
//!
//! Around the pipeline stand a broker, a mail server and an SMS gateway of its own on the loopback; a player
//! sends what the generator makes, a watcher reads the alerts, and a view tells the story.
//! Guarantees: nothing leaves this machine; what was sent was taken, to the unit, or it fails; it ends by itself.
//! Not for measuring: the played day is slowed to its clock.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{BadRules, Controls, KeyFrom, prepare};

mod broker;
mod error;
mod fact;
mod folder;
mod gateway;
mod looker;
mod mail_server;
mod model;
mod pace;
mod plain;
mod play;
mod player;
mod screen;
mod setup;
mod summary;
mod table;
mod tally;
mod view;
mod watcher;
mod words;

use broker::Broker;
pub use error::DemoError;
use fact::Teller;
use folder::Folder;
use model::{Model, Setting};
use play::Play;
use screen::Screen;
pub use summary::Outcome;

/// Records of a demo that nobody asked otherwise of.
pub const EVENTS_DEFAULT: u64 = 40_000;
/// The seed of a demo that nobody asked otherwise of: its first victim reads English.
pub const SEED_DEFAULT: u64 = 3;
/// Records at the least and at the most: fewer have no room for the attacks, more no room in the broker.
pub const EVENTS: std::ops::RangeInclusive<u64> = 10_000..=1_000_000;
/// What somebody asked of the demo.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of everything that comes of it.
    pub out: PathBuf,
    /// Records.
    pub events: u64,
    /// The seed.
    pub seed: u64,
    /// Stays up, with metrics, when the day is over.
    pub keep: bool,
    /// How it is shown.
    pub show: Show,
}

/// How the demo is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// On the whole terminal, in colours or without.
    Screen {
        /// With colours.
        is_colored: bool,
    },
    /// In lines.
    Lines {
        /// Now and then a line that says how far it is.
        with_progress: bool,
    },
}

/// Runs it: lines and the final table go to `out`, what is said meanwhile to stderr.
pub fn run(options: &Options, out: &mut dyn std::io::Write) -> Result<Outcome, DemoError> {
    let (teller, told) = Teller::new(Instant::now());
    let folder = Folder::make(&options.out)?;
    setup::log(&folder)?;
    let screen = Screen::open(options.show)?;
    let broker = Broker::start(options.events)?;
    let servers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| DemoError::System("start the runtime", e))?;
    let listen = |e| DemoError::System("listen on the loopback", e);
    let mail = mail_server::start(folder.path().to_owned(), teller.clone(), servers.handle()).map_err(listen)?;
    let sms = gateway::start(folder.path().to_owned(), teller.clone(), servers.handle()).map_err(listen)?;
    let http = options.keep.then(setup::free_port).transpose().map_err(listen)?;
    let config = folder.configure(&broker.address(), mail, sms, http)?;
    let mut prepared =
        prepare(Some(config), Vec::new(), BadRules::Refuse, KeyFrom::State).map_err(DemoError::Problems)?;
    prepared.in_force.policy = Arc::new(setup::policy(&prepared.in_force.policy));
    let generator = setup::generator(options.events, options.seed)?;
    let model = Model::new(Setting { http, ..setup::setting(&generator, options.events, &prepared) });
    let play = Play { options, folder: &folder, broker: &broker, teller, controls: Controls::new()? };
    let result = play.run(prepared, generator, model, &told, screen, out);
    servers.shutdown_timeout(Duration::from_millis(200));
    result
}
