-- migration: 0001_first
-- Events, entries, evidence, the audit chain and the counters. Times are ns since 1970 UTC.

-- One row: what this ledger is, and where its chain ends.
CREATE TABLE ledger (
    one            INTEGER PRIMARY KEY CHECK (one = 1),
    ledger_id      TEXT    NOT NULL,
    created_at_ns  INTEGER NOT NULL,
    commits        INTEGER NOT NULL,
    gap_until_ns   INTEGER NOT NULL,
    audit_seq      INTEGER NOT NULL,
    audit_hash     TEXT    NOT NULL,
    evidence_bytes INTEGER NOT NULL
);

-- What happened. The id decides what is a repeat.
CREATE TABLE event (
    event_id          TEXT    PRIMARY KEY,
    digest            TEXT    NOT NULL,
    kind              TEXT    NOT NULL,
    plant             TEXT    NOT NULL,
    rule              TEXT    NOT NULL,
    series            TEXT    NOT NULL,
    tag               TEXT    NOT NULL,
    asset             TEXT    NOT NULL,
    at_ns             INTEGER NOT NULL,
    start_ns          INTEGER NOT NULL,
    end_ns            INTEGER,
    engine_time_ns    INTEGER NOT NULL,
    config_generation INTEGER NOT NULL,
    body              TEXT    NOT NULL,
    body_hash         TEXT    NOT NULL,
    committed_at_ns   INTEGER NOT NULL
);
CREATE INDEX event_by_time ON event (coalesce(end_ns, at_ns));

-- The same id with other content: kept beside the first, never posted.
CREATE TABLE conflict (
    event_id        TEXT    NOT NULL REFERENCES event (event_id),
    digest          TEXT    NOT NULL,
    body            TEXT    NOT NULL,
    committed_at_ns INTEGER NOT NULL,
    PRIMARY KEY (event_id, digest)
);

-- Where the last event of a register ended; becomes a BASELINE record when the engine opens.
CREATE TABLE register (
    rule         TEXT    NOT NULL,
    series       TEXT    NOT NULL,
    tag          TEXT    NOT NULL,
    end_ns       INTEGER NOT NULL,
    end_reading           NOT NULL,
    reading_type TEXT    NOT NULL CHECK (reading_type IN ('i64', 'f64')),
    PRIMARY KEY (rule, series, tag)
);

-- One command for one target.
CREATE TABLE entry (
    entry_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    command_id      TEXT    NOT NULL,
    target          TEXT    NOT NULL,
    key16           TEXT    NOT NULL,
    event_id        TEXT    NOT NULL REFERENCES event (event_id),
    mapping         TEXT    NOT NULL,
    contract        TEXT    NOT NULL,
    business_object TEXT    NOT NULL,
    correlation_id  TEXT    NOT NULL,
    plant           TEXT    NOT NULL,
    occurred_at_ns  INTEGER NOT NULL,
    posting_date    TEXT    NOT NULL,
    body            BLOB    NOT NULL,
    digest          TEXT    NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN
        ('ready', 'posting', 'retry', 'in_doubt', 'posted', 'held', 'dead', 'discarded')),
    category        TEXT    NOT NULL,
    reason          TEXT    NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    sends           INTEGER NOT NULL DEFAULT 0,
    lookups         INTEGER NOT NULL DEFAULT 0,
    next_try_ns     INTEGER NOT NULL,
    created_at_ns   INTEGER NOT NULL,
    sent_at_ns      INTEGER,
    posted_at_ns    INTEGER,
    document        TEXT    NOT NULL DEFAULT '',
    receipt         TEXT    NOT NULL DEFAULT '',
    UNIQUE (command_id, target)
);
CREATE INDEX entry_open ON entry (target, business_object, occurred_at_ns, entry_id)
    WHERE state IN ('ready', 'posting', 'retry', 'in_doubt');
CREATE INDEX entry_by_event ON entry (event_id);
CREATE INDEX entry_by_state ON entry (state, entry_id);
CREATE INDEX entry_by_document ON entry (document) WHERE document <> '';

-- Samples around an event, packed; the oldest go first when the budget is reached.
CREATE TABLE evidence (
    evidence_id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id    TEXT    NOT NULL REFERENCES event (event_id),
    tag         TEXT    NOT NULL,
    phase       TEXT    NOT NULL CHECK (phase IN ('before', 'after')),
    samples     BLOB    NOT NULL,
    UNIQUE (event_id, tag, phase)
);

-- Every change of an entry, each row bound to the one before it by its hash.
CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY,
    entry_id   INTEGER NOT NULL,
    at_ns      INTEGER NOT NULL,
    from_state TEXT    NOT NULL,
    to_state   TEXT    NOT NULL,
    by         TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    detail     TEXT    NOT NULL,
    prev_hash  TEXT    NOT NULL,
    hash       TEXT    NOT NULL
);
CREATE INDEX audit_by_entry ON audit (entry_id, seq);

-- A target as a whole: until when it rests.
CREATE TABLE target (
    name          TEXT    PRIMARY KEY,
    rest_until_ns INTEGER NOT NULL,
    category      TEXT    NOT NULL
);

CREATE TABLE counter (
    name  TEXT    PRIMARY KEY,
    value INTEGER NOT NULL
);
