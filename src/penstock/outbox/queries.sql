-- Statements of the ledger. Each has a name, by which the code asks for it, and a sentence that
-- says what it is for.

-- name: ledger_read
-- The ledger's one row.
SELECT ledger_id, created_at_ns, commits, gap_until_ns, audit_seq, audit_hash, evidence_bytes
FROM ledger WHERE one = 1;

-- name: ledger_create
-- A new ledger, empty chain.
INSERT INTO ledger VALUES (1, :ledger_id, :now_ns, 0, :gap_until_ns, 0, :hash, 0);

-- name: ledger_gap
-- From here on events up to this time start in doubt.
UPDATE ledger SET gap_until_ns = :gap_until_ns WHERE one = 1;

-- name: ledger_commit
-- One more commit, and where the chain ends now.
UPDATE ledger SET commits = commits + 1, audit_seq = :audit_seq, audit_hash = :audit_hash
WHERE one = 1;

-- name: ledger_stand
-- Where the ledger stands: nothing changes without a commit that counts.
SELECT ledger_id, commits, audit_seq, audit_hash, evidence_bytes,
       coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'entry'), 0)
FROM ledger WHERE one = 1;

-- name: ledger_advance
-- One more commit on exactly this stand; no row where somebody else was faster.
UPDATE ledger SET commits = commits + 1, audit_seq = ?, audit_hash = ?, evidence_bytes = ?
WHERE one = 1 AND commits = ?;

-- name: event_digest
-- Is this event here, and with which content.
SELECT digest FROM event WHERE event_id = :event_id;

-- name: event_insert
-- A new event.
INSERT INTO event VALUES (
    :event_id, :digest, :kind, :plant, :rule, :series, :tag, :asset, :at_ns, :start_ns, :end_ns,
    :engine_time_ns, :config_generation, :body, :body_hash, :now_ns);

-- name: event_insert_many
-- New events; a known id fails.
INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: event_newest_ns
-- The newest event time; until the watermark passes it, other content under a known id is absorbed.
SELECT max(coalesce(end_ns, at_ns)) FROM event;

-- name: event_recent
-- How many events came since a moment, the first of them, and how many there are in all.
SELECT count(*), min(committed_at_ns), (SELECT count(*) FROM event) FROM event
WHERE committed_at_ns >= :since_ns;

-- name: event_by_prefix
-- Events whose id begins like this.
SELECT event_id FROM event WHERE event_id >= :prefix AND event_id < :prefix || '~'
ORDER BY event_id LIMIT :limit;

-- name: event_read
-- One event's stored content.
SELECT body, digest, committed_at_ns FROM event WHERE event_id = :event_id;

-- name: conflict_digest
-- Is this second content already beside the first.
SELECT 1 FROM conflict WHERE event_id = :event_id AND digest = :digest;

-- name: conflict_insert
-- The second content, beside the first.
INSERT INTO conflict VALUES (:event_id, :digest, :body, :now_ns);

-- name: conflict_read
-- Every other content of one event.
SELECT digest, body, committed_at_ns FROM conflict WHERE event_id = :event_id
ORDER BY committed_at_ns, digest;

-- name: register_write
-- Where the newest event of a register ended.
INSERT INTO register VALUES (:rule, :series, :tag, :end_ns, :end_reading, :reading_type)
ON CONFLICT (rule, series, tag) DO UPDATE SET
    end_ns = excluded.end_ns, end_reading = excluded.end_reading,
    reading_type = excluded.reading_type;

-- name: register_write_many
-- The same for many.
INSERT INTO register VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (rule, series, tag) DO UPDATE SET
    end_ns = excluded.end_ns, end_reading = excluded.end_reading,
    reading_type = excluded.reading_type;

-- name: register_all
-- Where the last event of each register ended.
SELECT rule, series, tag, end_reading, reading_type, end_ns FROM register
ORDER BY rule, series, tag;

-- name: entry_insert
-- A new entry.
INSERT INTO entry (
    command_id, target, key16, event_id, mapping, contract, business_object, correlation_id, plant,
    occurred_at_ns, posting_date, body, digest, state, category, reason, next_try_ns, created_at_ns)
VALUES (
    :command_id, :target, :key16, :event_id, :mapping, :contract, :business_object,
    :correlation_id, :plant, :occurred_at_ns, :posting_date, :body, :digest, :state, :category,
    :reason, :now_ns, :now_ns);

-- name: entry_insert_many
-- New entries, numbered by the caller, who knows where the ledger stands.
INSERT INTO entry (
    entry_id, command_id, target, key16, event_id, mapping, contract, business_object,
    correlation_id, plant, occurred_at_ns, posting_date, body, digest, state, category, reason,
    next_try_ns, created_at_ns)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: entry_exists
-- Is there an entry of this command for this target.
SELECT entry_id FROM entry WHERE command_id = :command_id AND target = :target;

-- name: entry_due
-- The oldest open entry of each business object of a target, where its time has come and it is not
-- on its way. The walk jumps from object to object through the index, so a thousand entries behind
-- one cost nothing.
WITH RECURSIVE object (name) AS (
    SELECT min(business_object) FROM entry
    WHERE target = :target AND state IN ('ready', 'posting', 'retry', 'in_doubt')
    UNION ALL
    SELECT (
        SELECT min(business_object) FROM entry
        WHERE target = :target AND state IN ('ready', 'posting', 'retry', 'in_doubt')
          AND business_object > object.name)
    FROM object WHERE object.name IS NOT NULL
)
SELECT entry.* FROM object JOIN entry ON entry.entry_id = (
    SELECT first.entry_id FROM entry AS first
    WHERE first.target = :target AND first.business_object = object.name
      AND first.state IN ('ready', 'posting', 'retry', 'in_doubt')
    ORDER BY first.occurred_at_ns, first.entry_id LIMIT 1)
WHERE entry.state <> 'posting' AND entry.next_try_ns <= :now_ns
ORDER BY entry.occurred_at_ns, entry.entry_id LIMIT :limit;

-- name: entry_next_try_ns
-- When the next of a target's oldest open entries becomes due; those behind them wait anyway.
WITH RECURSIVE object (name) AS (
    SELECT min(business_object) FROM entry
    WHERE target = :target AND state IN ('ready', 'posting', 'retry', 'in_doubt')
    UNION ALL
    SELECT (
        SELECT min(business_object) FROM entry
        WHERE target = :target AND state IN ('ready', 'posting', 'retry', 'in_doubt')
          AND business_object > object.name)
    FROM object WHERE object.name IS NOT NULL
)
SELECT min(entry.next_try_ns) FROM object JOIN entry ON entry.entry_id = (
    SELECT first.entry_id FROM entry AS first
    WHERE first.target = :target AND first.business_object = object.name
      AND first.state IN ('ready', 'posting', 'retry', 'in_doubt')
    ORDER BY first.occurred_at_ns, first.entry_id LIMIT 1)
WHERE entry.state <> 'posting';

-- name: entry_read
-- One entry.
SELECT * FROM entry WHERE entry_id = :entry_id;

-- name: entry_mark_posting
-- Durable before the send; the number tells this send from an older one.
UPDATE entry SET
    state = 'posting', category = '', reason = '', sends = sends + 1, lookups = 0,
    sent_at_ns = :now_ns
WHERE entry_id = :entry_id;

-- name: entry_decide
-- What was decided about an entry.
UPDATE entry SET state = :state, category = :category, reason = :reason, next_try_ns = :next_try_ns,
                 attempts = attempts + :counts, lookups = lookups + :asked,
                 posted_at_ns = CASE WHEN :state = 'posted' THEN :now_ns ELSE posted_at_ns END,
                 document = CASE WHEN :document = '' THEN document ELSE :document END,
                 receipt = CASE WHEN :receipt = '' THEN receipt ELSE :receipt END
WHERE entry_id = :entry_id;

-- name: entry_resolve
-- What a person decided about an entry; the count of attempts starts again.
UPDATE entry SET
    state = :state, category = :category, reason = :reason, next_try_ns = :now_ns, attempts = 0
WHERE entry_id = :entry_id;

-- name: entry_ask
-- A person wants an entry in doubt looked up now; what it is stays as it is.
UPDATE entry SET next_try_ns = :now_ns WHERE entry_id = :entry_id;

-- name: entry_remap
-- A mapping fault that today's mapping can turn into a document.
UPDATE entry SET
    key16 = :key16, contract = :contract, business_object = :business_object,
    correlation_id = :correlation_id, occurred_at_ns = :occurred_at_ns,
    posting_date = :posting_date, body = :body, digest = :digest
WHERE entry_id = :entry_id;

-- name: entry_posting
-- What was on its way when the process ended.
SELECT entry_id FROM entry WHERE state = 'posting' ORDER BY entry_id;

-- name: entry_open
-- Everything a restored ledger cannot vouch for.
SELECT entry_id FROM entry WHERE state IN ('ready', 'posting', 'retry', 'in_doubt')
ORDER BY entry_id;

-- name: entry_wake
-- The target answers again: what only waited for it goes now.
UPDATE entry SET next_try_ns = :now_ns
WHERE target = :target AND next_try_ns > :now_ns AND (
    state = 'retry' AND category IN ('unreachable', 'throttled', 'access', 'address')
    OR state = 'in_doubt' AND lookups > 0);

-- name: entry_wake_all
-- The wall clock went back: waits that were measured by the old one end now.
UPDATE entry SET next_try_ns = :now_ns
WHERE state IN ('ready', 'posting', 'retry', 'in_doubt') AND next_try_ns > :now_ns;

-- name: target_wake_all
-- The wall clock went back: so do rests.
DELETE FROM target WHERE rest_until_ns > :now_ns;

-- name: entry_list
-- Entries, newest first.
SELECT * FROM entry WHERE (:state = '' OR state = :state) AND (:target = '' OR target = :target)
ORDER BY entry_id DESC LIMIT :limit;

-- name: entry_waiting
-- Entries that wait for a person or for the target's word, the oldest first.
SELECT * FROM entry
WHERE state IN ('held', 'dead', 'in_doubt') AND (:target = '' OR target = :target)
  AND (:category = '' OR category = :category)
ORDER BY entry_id LIMIT :limit;

-- name: entry_page
-- Every entry with its event, in pages.
SELECT entry.*, event.body AS event_body FROM entry JOIN event USING (event_id)
WHERE entry_id > :after ORDER BY entry_id LIMIT 500;

-- name: event_page
-- Every event with the hash of its content, in pages.
SELECT event_id, body, body_hash FROM event WHERE event_id > :after ORDER BY event_id LIMIT 500;

-- name: entry_states
-- How many entries stand where.
SELECT state, count(*) FROM entry GROUP BY state;

-- name: entry_by_document
-- Entries whose document bears this number.
SELECT * FROM entry WHERE document = :document ORDER BY entry_id DESC LIMIT :limit;

-- name: entry_by_event
-- Entries that an event led to.
SELECT * FROM entry WHERE event_id = :event_id ORDER BY entry_id;

-- name: entry_by_command_prefix
-- Entries whose command id or short key begins like this.
SELECT * FROM entry WHERE command_id >= :prefix AND command_id < :prefix || '~' OR key16 = :prefix
ORDER BY entry_id LIMIT :limit;

-- name: entry_documents
-- The documents posted last.
SELECT * FROM entry WHERE state = 'posted' ORDER BY entry_id DESC LIMIT :limit;

-- name: target_rest
-- A target rests until then; never shortened by a later, shorter wish.
INSERT INTO target VALUES (:name, :rest_until_ns, :category)
ON CONFLICT (name) DO UPDATE SET
    category = iif(excluded.rest_until_ns > rest_until_ns, excluded.category, category),
    rest_until_ns = max(rest_until_ns, excluded.rest_until_ns);

-- name: target_read
-- Until when a target rests.
SELECT rest_until_ns, category FROM target WHERE name = :name;

-- name: target_wake
-- A target answered, so it rests no longer; a pause it asked for itself is kept to its end.
DELETE FROM target WHERE name = :name AND (category <> 'throttled' OR rest_until_ns <= :now_ns);

-- name: target_wake_access
-- At start: somebody may have mended the login or the address.
DELETE FROM target WHERE category <> 'throttled';

-- name: evidence_exists
-- Is this piece kept already.
SELECT 1 FROM evidence WHERE event_id = :event_id AND tag = :tag AND phase = :phase;

-- name: evidence_insert
-- Samples around an event.
INSERT INTO evidence (event_id, tag, phase, samples) VALUES (:event_id, :tag, :phase, :samples);

-- name: evidence_insert_many
-- Samples around new events.
INSERT INTO evidence (event_id, tag, phase, samples) VALUES (?, ?, ?, ?);

-- name: evidence_read
-- What is kept of an event's samples.
SELECT tag, phase, samples FROM evidence WHERE event_id = :event_id ORDER BY tag, phase DESC;

-- name: evidence_oldest
-- The samples that go first.
SELECT evidence_id, length(samples) FROM evidence ORDER BY evidence_id LIMIT 64;

-- name: evidence_delete
-- One piece of evidence.
DELETE FROM evidence WHERE evidence_id = :evidence_id;

-- name: evidence_bytes
-- How much evidence there is now.
UPDATE ledger SET evidence_bytes = evidence_bytes + :change WHERE one = 1;

-- name: audit_insert
-- One more link of the chain.
INSERT INTO audit VALUES (
    :seq, :entry_id, :at_ns, :from_state, :to_state, :by, :reason, :detail, :prev_hash, :hash);

-- name: audit_insert_many
-- The links of new entries.
INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: audit_of_entry
-- The story of one entry.
SELECT seq, at_ns, from_state, to_state, by, reason, detail FROM audit
WHERE entry_id = :entry_id ORDER BY seq;

-- name: audit_page
-- The chain, in order, in pages.
SELECT seq, entry_id, at_ns, from_state, to_state, by, reason, detail, prev_hash, hash
FROM audit WHERE seq > :after ORDER BY seq LIMIT 1000;

-- name: audit_last_state
-- Entries whose row does not stand where the chain says.
SELECT entry.entry_id, entry.state, coalesce(audit.to_state, '') FROM entry
LEFT JOIN audit ON audit.seq = (
    SELECT max(seq) FROM audit AS last WHERE last.entry_id = entry.entry_id)
WHERE coalesce(audit.to_state, '') <> entry.state ORDER BY entry.entry_id LIMIT 100;

-- name: counter_add
-- A ledger counter moves.
INSERT INTO counter VALUES (:name, :change)
ON CONFLICT (name) DO UPDATE SET value = value + excluded.value;

-- name: counter_all
-- Every counter.
SELECT name, value FROM counter ORDER BY name;
