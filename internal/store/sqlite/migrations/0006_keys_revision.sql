-- revision grows with every change of a key by any process; a use is none.

-- +goose Up
CREATE TABLE keys_revision (
    one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO keys_revision (one, revision) VALUES (1, 0);
-- +goose StatementBegin
CREATE TRIGGER access_keys_insert AFTER INSERT ON access_keys BEGIN
    UPDATE keys_revision SET revision = revision + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER access_keys_delete AFTER DELETE ON access_keys BEGIN
    UPDATE keys_revision SET revision = revision + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER access_keys_status AFTER UPDATE OF status, sealed, owner, expires_ms ON access_keys BEGIN
    UPDATE keys_revision SET revision = revision + 1;
END;
-- +goose StatementEnd
