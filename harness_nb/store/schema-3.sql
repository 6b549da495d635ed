-- Version 3. Who allowed which credentials to whom and until when, and never a value.

CREATE TABLE grants (
    id TEXT PRIMARY KEY,
    service TEXT NOT NULL,
    scope TEXT NOT NULL,
    session_id TEXT NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX grants_by_service ON grants (service, scope, session_id);
