-- Times are ms since 1970. Words (states, audiences, bands, reasons) are written out: people read this file.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE alerts (
    id           TEXT PRIMARY KEY,
    time_ms      INTEGER NOT NULL,
    received_ms  INTEGER NOT NULL,
    case_counter INTEGER NOT NULL REFERENCES cases (counter),
    -- What was decided for each audience, as JSON: {"user": "grouped"}.
    decisions    TEXT NOT NULL,
    -- As it was read.
    document     BLOB NOT NULL
);
CREATE INDEX alerts_of_case ON alerts (case_counter);

CREATE TABLE cases (
    counter    INTEGER PRIMARY KEY AUTOINCREMENT,
    number     TEXT NOT NULL UNIQUE,
    entity     TEXT NOT NULL,
    rule_group TEXT NOT NULL,
    -- open, closed
    state      TEXT NOT NULL,
    -- Event times of the first and the newest alert.
    opened_ms  INTEGER NOT NULL,
    last_ms    INTEGER NOT NULL,
    alerts     INTEGER NOT NULL
);
CREATE UNIQUE INDEX one_open_case ON cases (entity, rule_group) WHERE state = 'open';

-- The highest band an audience was told of in a case.
CREATE TABLE told (
    case_counter INTEGER NOT NULL REFERENCES cases (counter),
    audience     TEXT NOT NULL,
    band         TEXT NOT NULL,
    PRIMARY KEY (case_counter, audience)
) WITHOUT ROWID;

CREATE TABLE contacts (
    account  TEXT PRIMARY KEY,
    as_of_ms INTEGER NOT NULL,
    document BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE notices (
    -- Also the idempotency key of everything that is sent for it.
    id           TEXT PRIMARY KEY,
    alert        TEXT NOT NULL REFERENCES alerts (id),
    case_counter INTEGER NOT NULL REFERENCES cases (counter),
    account      TEXT,
    audience     TEXT NOT NULL,
    -- current, previous (the addresses before the last change)
    addressee    TEXT NOT NULL,
    -- The channels of its route, as JSON.
    chain        TEXT NOT NULL,
    -- waiting (for a contact), queued, sent, failed, undeliverable
    state        TEXT NOT NULL,
    -- Which of its messages is sent now.
    position     INTEGER NOT NULL,
    channel      TEXT,
    -- On the channel it stands at.
    attempts     INTEGER NOT NULL,
    created_ms   INTEGER NOT NULL,
    -- When it is tried next, or stops waiting.
    next_ms      INTEGER NOT NULL,
    expires_ms   INTEGER NOT NULL,
    -- The contact it waits for is at least this new.
    contact_ms   INTEGER,
    -- Why it failed last, or cannot be delivered.
    reason       TEXT
);
CREATE INDEX notices_due ON notices (state, channel, next_ms);
CREATE INDEX notices_waiting ON notices (account) WHERE state = 'waiting';

-- What is sent, byte for byte the same at each try. Dropped once it is sent: it is personal.
CREATE TABLE messages (
    notice    TEXT NOT NULL REFERENCES notices (id),
    position  INTEGER NOT NULL,
    channel   TEXT NOT NULL,
    recipient TEXT NOT NULL,
    body      BLOB NOT NULL,
    PRIMARY KEY (notice, position)
);

-- Where reading goes on: moved in the transaction of what was read.
CREATE TABLE offsets (
    topic       TEXT NOT NULL,
    partition   INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
