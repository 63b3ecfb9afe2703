-- Usage records are found by their time, and so is the one that is put again: an
-- index over random request ids alone would touch a page for every record.

-- +goose Up
CREATE TABLE usage_records_new (
    seq            INTEGER PRIMARY KEY,
    request_id     TEXT    NOT NULL,
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
    duration_ms    INTEGER NOT NULL,
    UNIQUE (time_ms, request_id)
) STRICT;
INSERT INTO usage_records_new SELECT * FROM usage_records;
DROP TABLE usage_records;
ALTER TABLE usage_records_new RENAME TO usage_records;
CREATE INDEX usage_records_account_time ON usage_records (account, time_ms);
