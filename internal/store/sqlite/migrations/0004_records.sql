-- Resources as JSON. revision grows with every change of any process.

-- +goose Up
CREATE TABLE records (
    account    TEXT    NOT NULL,
    region     TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    body       BLOB    NOT NULL,
    version    INTEGER NOT NULL CHECK (version > 0),
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, account, region, name)
) STRICT;
CREATE TABLE records_revision (
    one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO records_revision (one, revision) VALUES (1, 0);

-- owner is the id of a user, '' the root of the account. used_* tell the last use.
-- expires_ms 0 means never.
ALTER TABLE access_keys ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE access_keys ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE access_keys ADD COLUMN expires_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE access_keys ADD COLUMN used_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE access_keys ADD COLUMN used_region TEXT NOT NULL DEFAULT '';
ALTER TABLE access_keys ADD COLUMN used_service TEXT NOT NULL DEFAULT '';
