-- Version 1. Each row keeps its whole record as JSON beside the columns that are searched by.

CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    created_at TEXT NOT NULL,
    data TEXT NOT NULL
);

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    run_id TEXT,
    plan_id TEXT,
    created_at TEXT NOT NULL,
    revision INTEGER NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX sessions_live ON sessions (created_at) WHERE state NOT IN ('completed', 'failed');
CREATE INDEX sessions_by_plan ON sessions (plan_id, created_at);
CREATE INDEX sessions_by_revision ON sessions (revision);

CREATE TABLE messages (
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
CREATE INDEX messages_by_id ON messages (id);
CREATE UNIQUE INDEX one_answer ON messages (session_id, in_response_to) WHERE in_response_to IS NOT NULL;
CREATE INDEX messages_open ON messages (session_id, seq) WHERE status = 'pending';
CREATE INDEX messages_by_session ON messages (session_id, seq);

CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    timestamp TEXT NOT NULL,
    kind TEXT NOT NULL,
    session_id TEXT,
    data TEXT NOT NULL
);
CREATE INDEX events_by_kind ON events (kind, seq);
