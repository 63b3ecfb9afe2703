package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/idempotency"
)

// GetToken implements idempotency.Store.
func (d *DB) GetToken(ctx context.Context, account, region, operation, token string) (idempotency.Entry, error) {
	e := idempotency.Entry{Account: account, Region: region, Operation: operation, Token: token}
	var hash []byte
	var created int64
	err := d.read.QueryRowContext(ctx, `SELECT hash, status, body, created_ms FROM idempotency_tokens
		WHERE account = ? AND region = ? AND operation = ? AND token = ?`, account, region, operation, token).
		Scan(&hash, &e.Status, &e.Body, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return idempotency.Entry{}, idempotency.ErrNotFound
	}
	if err != nil {
		return idempotency.Entry{}, fmt.Errorf("get token of %s: %w", operation, err)
	}
	copy(e.Hash[:], hash)
	e.Created = toTime(created)
	return e, nil
}

// PutToken implements idempotency.Store.
func (d *DB) PutToken(ctx context.Context, e idempotency.Entry) error {
	n, err := d.exec(ctx, `INSERT INTO idempotency_tokens (account, region, operation, token, hash, status, body, created_ms)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		e.Account, e.Region, e.Operation, e.Token, e.Hash[:], e.Status, notNil(e.Body), fromTime(e.Created))
	if err != nil {
		return fmt.Errorf("put token of %s: %w", e.Operation, err)
	}
	if n == 0 {
		return idempotency.ErrExists
	}
	return nil
}

// DropTokens implements idempotency.Store.
func (d *DB) DropTokens(ctx context.Context, t time.Time) error {
	if _, err := d.exec(ctx, `DELETE FROM idempotency_tokens WHERE created_ms < ?`, fromTime(t)); err != nil {
		return fmt.Errorf("drop tokens: %w", err)
	}
	return nil
}
