-- A job is leased to owner until lease_ms. lease_ms 0 means that nobody has it.

-- +goose Up
CREATE TABLE jobs (
    account    TEXT    NOT NULL,
    region     TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    spec       BLOB    NOT NULL,
    input      BLOB    NOT NULL,
    failure    TEXT    NOT NULL,
    tries      INTEGER NOT NULL,
    owner      TEXT    NOT NULL,
    lease_ms   INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    ended_ms   INTEGER NOT NULL,
    PRIMARY KEY (account, region, kind, id)
) STRICT;
CREATE INDEX jobs_created ON jobs (account, region, kind, created_ms, id);
CREATE INDEX jobs_open ON jobs (kind, created_ms) WHERE status IN ('Queued', 'Running');
