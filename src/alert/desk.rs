//! The desk: alerts, cases, contacts and notices in one SQLite file, and where reading goes on.
//!
//! Guarantees: what is taken is durable when [`Desk::take`] returns, together with the offsets it came from;
//! an alert is taken once, by its id; one instance per file. Does not send and does not read Kafka.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};

use super::case_number::CaseNumber;
use super::contacts::{self, parse_time};
use super::error::DeskError;
use super::group::{Decision, Hold, OpenCase, Subject, decide};
use super::holder::holders;
use super::notice::Compose;
use super::outbox::{self, NewNotice};
use super::{DeskConfig, schema};
use crate::detect::document::{AlertDocument, ContactDocument, Document};
use crate::event::Millis;
use crate::failpoint::{self, reach};
use crate::ruleset::{Audience, Band};

/// The desk. Shared by reference; one writer at a time.
pub struct Desk {
    pub(super) config: DeskConfig,
    /// Scrambles case numbers; random per desk, kept in it.
    case_key: [u8; 16],
    connection: Mutex<Connection>,
    /// Held for as long as the desk is open.
    _lock: File,
}

/// Where reading of a partition goes on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset to read: last + 1.
    pub next: i64,
}

/// One record for the desk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    /// Of the alerts topic: a [`Document`].
    Alert(&'a [u8]),
    /// Of the contacts topic: a [`ContactDocument`].
    Contact(&'a [u8]),
    /// Of the contacts topic: the account's contact is gone.
    NoContact(&'a str),
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    /// Alerts that are new.
    pub alerts: u64,
    /// Alerts the desk already had.
    pub known: u64,
    /// Contacts that are newer than what was at hand.
    pub contacts: u64,
    /// Records that are no document this version knows.
    pub unreadable: u64,
    /// What was decided about the new alerts, by audience and reason.
    pub decisions: BTreeMap<(&'static str, &'static str), u64>,
    /// Notices queued, by first channel.
    pub queued: BTreeMap<String, u64>,
    /// Notices that wait for a contact.
    pub waiting: u64,
    /// Notices that went on with an older contact than their alert names, or none.
    pub contact_late: u64,
    /// Notices that cannot be delivered, by reason.
    pub undeliverable: BTreeMap<&'static str, u64>,
}

impl Taken {
    fn count(&mut self, audience: Audience, decision: Decision) {
        *self.decisions.entry((audience.word(), decision.reason())).or_default() += 1;
    }
}

impl Desk {
    /// Opens the desk, making or migrating the file.
    pub fn open(config: DeskConfig) -> Result<Self, DeskError> {
        let path = config.path.display().to_string();
        let open = |source| DeskError::Open { path: path.clone(), source };
        let lock = private_file(&config.path.with_added_extension("lock")).map_err(open)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(DeskError::InUse { holders: holders(&config.path), path });
            }
            Err(std::fs::TryLockError::Error(source)) => return Err(open(source)),
        }
        // It holds addresses and telephone numbers: made by us, so that only we can read it.
        private_file(&config.path).map_err(open)?;
        let (connection, case_key) = connect(&config).map_err(|error| match located(error, &config) {
            DeskError::Failed { path, source } => DeskError::Unusable { path, source },
            error => error,
        })?;
        Ok(Desk { config, case_key, connection: Mutex::new(connection), _lock: lock })
    }

    /// Takes a batch: all of it with its offsets, or, on an error, nothing.
    pub fn take(
        &self,
        records: &[Record<'_>],
        offsets: &[Offset],
        composer: &dyn Compose,
        now: Millis,
    ) -> Result<Taken, DeskError> {
        self.write(|tx| {
            let mut taken = Taken::default();
            for record in records {
                match record {
                    Record::Alert(bytes) => match serde_json::from_slice(bytes) {
                        Ok(Document::Alert(alert)) => self.take_alert(tx, &alert, bytes, composer, now, &mut taken)?,
                        Err(_) => taken.unreadable += 1,
                    },
                    Record::Contact(bytes) => match serde_json::from_slice::<ContactDocument>(bytes) {
                        Ok(contact) => self.take_contact(tx, &contact, composer, now, &mut taken)?,
                        Err(_) => taken.unreadable += 1,
                    },
                    Record::NoContact(account) => contacts::forget(tx, account)?,
                }
            }
            save_offsets(tx, offsets)?;
            reach(failpoint::DESK_BEFORE_COMMIT);
            Ok(taken)
        })
    }

    /// Notices that have waited long enough for their contact go on with what is at hand.
    pub fn stop_waiting(&self, composer: &dyn Compose, now: Millis) -> Result<Taken, DeskError> {
        self.write(|tx| {
            let mut taken = Taken::default();
            for notice in outbox::waiting_until(tx, now)? {
                self.settle_waiting(tx, &notice, composer, now, &mut taken)?;
            }
            Ok(taken)
        })
    }

    /// Writes a mark and nothing else: fails where the file cannot be written now.
    pub fn probe(&self, now: Millis) -> Result<(), DeskError> {
        self.write(|tx| {
            tx.prepare_cached("INSERT OR REPLACE INTO meta VALUES ('probed_ms', ?1)")?.execute([now.0])?;
            Ok(())
        })
    }

    /// Where reading goes on, by topic and partition.
    pub fn offsets(&self) -> Result<Vec<Offset>, DeskError> {
        self.read(|c| {
            let mut rows = c.prepare_cached("SELECT topic, partition, next_offset FROM offsets ORDER BY 1, 2")?;
            let offset =
                |row: &rusqlite::Row<'_>| Ok(Offset { topic: row.get(0)?, partition: row.get(1)?, next: row.get(2)? });
            Ok(rows.query_map([], offset)?.collect::<Result<_, _>>()?)
        })
    }

    fn take_alert(
        &self,
        tx: &Transaction<'_>,
        alert: &AlertDocument,
        bytes: &[u8],
        composer: &dyn Compose,
        now: Millis,
        taken: &mut Taken,
    ) -> Result<(), DeskError> {
        let known = tx.prepare_cached("SELECT 1 FROM alerts WHERE id = ?1")?.exists([&alert.id])?;
        if known {
            taken.known += 1;
            for audience in &alert.audience {
                taken.count(*audience, Decision::Hold(Hold::Known));
            }
            return Ok(());
        }
        // An alert without a readable time is told all the same: as of now.
        let time = parse_time(&alert.time).unwrap_or(now);
        let case = self.case_of(tx, &Subject::of(alert), time)?;
        let mut decisions = BTreeMap::new();
        let mut notices = Vec::new();
        for audience in &alert.audience {
            let chains = composer.chains(*audience, alert.band);
            let decision = decide(alert.band, told(tx, case.counter, *audience)?, !chains.is_empty());
            decisions.insert(audience.word(), decision.reason());
            taken.count(*audience, decision);
            if matches!(decision, Decision::Notify(_)) {
                tell(tx, case.counter, *audience, alert.band)?;
                notices.extend(chains.into_iter().map(|chain| (*audience, chain)));
            }
        }
        tx.prepare_cached("INSERT INTO alerts VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
            alert.id,
            time.0,
            now.0,
            case.counter,
            serde_json::to_string(&decisions)?,
            bytes,
        ])?;
        taken.alerts += 1;
        reach(failpoint::DESK_ALERT);
        for (audience, chain) in notices {
            let notice = NewNotice { alert, audience, chain, case: case.number, case_counter: case.counter };
            self.enqueue(tx, notice, composer, now, taken)?;
        }
        Ok(())
    }

    fn take_contact(
        &self,
        tx: &Transaction<'_>,
        contact: &ContactDocument,
        composer: &dyn Compose,
        now: Millis,
        taken: &mut Taken,
    ) -> Result<(), DeskError> {
        let Some(as_of) = parse_time(&contact.as_of) else {
            taken.unreadable += 1;
            return Ok(());
        };
        if !contacts::keep(tx, contact, as_of)? {
            return Ok(());
        }
        taken.contacts += 1;
        for notice in outbox::waiting_for(tx, &contact.account, as_of)? {
            self.settle_waiting(tx, &notice, composer, now, taken)?;
        }
        Ok(())
    }

    /// The open case of a subject, joined by an alert of `time`; a new one where there is none.
    fn case_of(&self, tx: &Transaction<'_>, subject: &Subject, time: Millis) -> Result<Case, DeskError> {
        let found = tx
            .prepare_cached(
                "SELECT counter, opened_ms, last_ms FROM cases WHERE entity = ?1 AND rule_group = ?2 AND state = 'open'",
            )?
            .query_row([&subject.entity, &subject.group], |row| {
                let open = OpenCase { opened: Millis(row.get(1)?), last: Millis(row.get(2)?) };
                Ok((row.get::<_, i64>(0)?, open))
            })
            .optional()?;
        if let Some((counter, open)) = found {
            if open.takes(time, self.config.case_quiet_ms, self.config.case_span_ms_max) {
                tx.prepare_cached(
                    "UPDATE cases SET alerts = alerts + 1, last_ms = max(last_ms, ?2) WHERE counter = ?1",
                )?
                .execute(params![counter, time.0])?;
                return self.numbered(counter);
            }
            tx.prepare_cached("UPDATE cases SET state = 'closed' WHERE counter = ?1")?.execute([counter])?;
        }
        let last: i64 = tx.prepare_cached("SELECT ifnull(max(counter), 0) FROM cases")?.query_row([], |r| r.get(0))?;
        let case = self.numbered(last.saturating_add(1))?;
        tx.prepare_cached("INSERT INTO cases VALUES (?1, ?2, ?3, ?4, 'open', ?5, ?5, 1)")?.execute(params![
            case.counter,
            case.number.to_string(),
            subject.entity,
            subject.group,
            time.0
        ])?;
        Ok(case)
    }

    pub(super) fn numbered(&self, counter: i64) -> Result<Case, DeskError> {
        let number = u32::try_from(counter).ok().and_then(|c| CaseNumber::of(c, &self.case_key));
        Ok(Case { counter, number: number.ok_or(DeskError::CasesUsedUp)? })
    }

    pub(super) fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, DeskError>) -> Result<T, DeskError> {
        let mut connection = self.connection();
        let written = || -> Result<T, DeskError> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        written().map_err(|error| located(error, &self.config))
    }

    pub(super) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, DeskError>) -> Result<T, DeskError> {
        work(&self.connection()).map_err(|error| located(error, &self.config))
    }

    /// A panic while it was held rolled its transaction back: the connection is sound.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("path", &self.config.path).finish_non_exhaustive()
    }
}

/// A case of the desk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub counter: i64,
    pub number: CaseNumber,
}

fn told(tx: &Transaction<'_>, case: i64, audience: Audience) -> Result<Option<Band>, DeskError> {
    let word: Option<String> = tx
        .prepare_cached("SELECT band FROM told WHERE case_counter = ?1 AND audience = ?2")?
        .query_row(params![case, audience.word()], |row| row.get(0))
        .optional()?;
    let bands = [Band::Info, Band::Low, Band::Medium, Band::High, Band::Critical];
    Ok(word.and_then(|w| bands.into_iter().find(|b| b.word() == w)))
}

fn tell(tx: &Transaction<'_>, case: i64, audience: Audience, band: Band) -> Result<(), DeskError> {
    tx.prepare_cached("INSERT OR REPLACE INTO told VALUES (?1, ?2, ?3)")?.execute(params![
        case,
        audience.word(),
        band.word()
    ])?;
    Ok(())
}

fn save_offsets(tx: &Transaction<'_>, offsets: &[Offset]) -> Result<(), DeskError> {
    let mut save = tx.prepare_cached("INSERT OR REPLACE INTO offsets VALUES (?1, ?2, ?3)")?;
    for offset in offsets {
        save.execute(params![offset.topic, offset.partition, offset.next])?;
    }
    Ok(())
}

/// The error with its file, and with the program that is in the way where one is.
fn located(error: DeskError, config: &DeskConfig) -> DeskError {
    let DeskError::Sqlite(source) = error else { return error };
    let path = config.path.display().to_string();
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            DeskError::Locked { path, holders: holders(&config.path), waited_ms: config.lock_wait_ms_max }
        }
        _ => DeskError::Failed { path, source },
    }
}

/// Opens the file, brings its tables up to date and reads the key of the case numbers.
fn connect(config: &DeskConfig) -> Result<(Connection, [u8; 16]), DeskError> {
    let mut connection = Connection::open(&config.path)?;
    connection.busy_timeout(Duration::from_millis(config.lock_wait_ms_max))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    schema::migrate(&mut connection)?;
    let case_key = case_key(&connection)?;
    Ok((connection, case_key))
}

/// The key of the case numbers: made with the file.
fn case_key(connection: &Connection) -> Result<[u8; 16], DeskError> {
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('case_key', randomblob(16))", [])?;
    Ok(connection.query_row("SELECT value FROM meta WHERE name = 'case_key'", [], |row| row.get(0))?)
}

fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
