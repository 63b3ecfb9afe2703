-- Times are milliseconds since 1970, UTC. Account and region stand on every row.

-- +goose Up
CREATE TABLE access_keys (
    id         TEXT    NOT NULL PRIMARY KEY,
    account    TEXT    NOT NULL,
    region     TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- seq keeps the order of arrival for calls of the same millisecond.
CREATE TABLE usage_records (
    seq            INTEGER PRIMARY KEY,
    request_id     TEXT    NOT NULL UNIQUE,
    time_ms        INTEGER NOT NULL,
    account        TEXT    NOT NULL,
    region         TEXT    NOT NULL,
    principal      TEXT    NOT NULL,
    access_key_id  TEXT    NOT NULL,
    service        TEXT    NOT NULL,
    operation      TEXT    NOT NULL,
    model_id       TEXT    NOT NULL,
    served_by      TEXT    NOT NULL,
    stand_in       INTEGER NOT NULL CHECK (stand_in IN (0, 1)),
    input_tokens   INTEGER NOT NULL,
    output_tokens  INTEGER NOT NULL,
    reused_tokens  INTEGER NOT NULL,
    status         INTEGER NOT NULL,
    error_code     TEXT    NOT NULL,
    latency_ms     INTEGER NOT NULL,
    first_token_ms INTEGER NOT NULL,
    duration_ms    INTEGER NOT NULL
) STRICT;
CREATE INDEX usage_records_time ON usage_records (time_ms);
CREATE INDEX usage_records_account_time ON usage_records (account, time_ms);

CREATE TABLE idempotency_tokens (
    account    TEXT    NOT NULL,
    region     TEXT    NOT NULL,
    operation  TEXT    NOT NULL,
    token      TEXT    NOT NULL,
    hash       BLOB    NOT NULL CHECK (length(hash) = 32),
    status     INTEGER NOT NULL,
    body       BLOB    NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (account, region, operation, token)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_tokens_created ON idempotency_tokens (created_ms);

-- model_arns is a JSON array of strings, tags a JSON object of strings.
CREATE TABLE inference_profiles (
    account      TEXT    NOT NULL,
    region       TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    description  TEXT    NOT NULL,
    model_source TEXT    NOT NULL,
    model_arns   TEXT    NOT NULL,
    tags         TEXT    NOT NULL,
    created_ms   INTEGER NOT NULL,
    updated_ms   INTEGER NOT NULL,
    PRIMARY KEY (account, region, id),
    UNIQUE (account, region, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX inference_profiles_created ON inference_profiles (account, region, created_ms, id);
