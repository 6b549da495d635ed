-- Version 2. Each row keeps its whole record as JSON beside the columns that are searched by.
-- An older journal becomes a newer one by doing all of this once more: what is there stays.

CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    created_at TEXT NOT NULL,
    data TEXT NOT NULL
);

-- Where each plan of a run stands. Its version grows with every change, for those who look again and again.
CREATE TABLE IF NOT EXISTS run_plans (
    run_id TEXT NOT NULL,
    plan_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    selected INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (run_id, plan_id)
);
CREATE INDEX IF NOT EXISTS run_plans_by_version ON run_plans (run_id, version);

CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    run_id TEXT,
    plan_id TEXT,
    created_at TEXT NOT NULL,
    revision INTEGER NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS sessions_live ON sessions (created_at) WHERE state NOT IN ('completed', 'failed');
CREATE INDEX IF NOT EXISTS sessions_by_plan ON sessions (plan_id, created_at);
CREATE INDEX IF NOT EXISTS sessions_by_revision ON sessions (revision);

CREATE TABLE IF NOT EXISTS messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    in_response_to TEXT,
    data TEXT NOT NULL,
    UNIQUE (session_id, id)
);
-- Ids are a session's own: a shell worker may call its question q1 in every attempt.
-- Of many answers to one question, one can be inserted.
CREATE INDEX IF NOT EXISTS messages_by_id ON messages (id);
CREATE UNIQUE INDEX IF NOT EXISTS one_answer ON messages (session_id, in_response_to) WHERE in_response_to IS NOT NULL;
CREATE INDEX IF NOT EXISTS messages_open ON messages (session_id, seq) WHERE status = 'pending';
CREATE INDEX IF NOT EXISTS messages_by_session ON messages (session_id, seq);

CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    timestamp TEXT NOT NULL,
    kind TEXT NOT NULL,
    session_id TEXT,
    data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_kind ON events (kind, seq);
