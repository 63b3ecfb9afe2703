package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/outcrop/outcrop/internal/keys"
)

const keyColumns = `id, account, region, kind, status, sealed, created_ms, owner, name, expires_ms, used_ms, used_region, used_service`

func scanKey(r row) (keys.Stored, error) {
	var k keys.Stored
	var created, expires, used int64
	err := r.Scan(&k.ID, &k.Account, &k.Region, &k.Kind, &k.Status, &k.Sealed, &created, &k.Owner, &k.Name, &expires, &used, &k.Used.Region, &k.Used.Service)
	k.Created, k.Expires, k.Used.At = toTime(created), maybeTime(expires), maybeTime(used)
	return k, err
}

// PutKey implements keys.Store.
func (d *DB) PutKey(ctx context.Context, k keys.Stored) error {
	n, err := d.exec(ctx, `INSERT INTO access_keys (`+keyColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		k.ID, k.Account, k.Region, k.Kind, k.Status, notNil(k.Sealed), fromTime(k.Created), k.Owner, k.Name, fromMaybe(k.Expires), fromMaybe(k.Used.At), k.Used.Region, k.Used.Service)
	if err != nil {
		return fmt.Errorf("put key %s: %w", k.ID, err)
	}
	if n == 0 {
		return fmt.Errorf("put key %s: the id is taken", k.ID)
	}
	return nil
}

// GetKey implements keys.Store.
func (d *DB) GetKey(ctx context.Context, id string) (keys.Stored, error) {
	k, err := scanKey(d.read.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM access_keys WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return keys.Stored{}, keys.ErrNotFound
	}
	if err != nil {
		return keys.Stored{}, fmt.Errorf("get key: %w", err)
	}
	return k, nil
}

// ListKeys implements keys.Store.
func (d *DB) ListKeys(ctx context.Context) ([]keys.Stored, error) {
	all, err := collect(ctx, d.read, scanKey, `SELECT `+keyColumns+` FROM access_keys ORDER BY created_ms, id`)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	return all, nil
}

// SetKeyStatus implements keys.Store.
func (d *DB) SetKeyStatus(ctx context.Context, id string, s keys.Status) error {
	n, err := d.exec(ctx, `UPDATE access_keys SET status = ? WHERE id = ?`, s, id)
	if err != nil {
		return fmt.Errorf("set status of key: %w", err)
	}
	if n == 0 {
		return keys.ErrNotFound
	}
	return nil
}

// DeleteKey implements keys.Store.
func (d *DB) DeleteKey(ctx context.Context, id string) error {
	n, err := d.exec(ctx, `DELETE FROM access_keys WHERE id = ?`, id)
	if err != nil {
		return fmt.Errorf("delete key: %w", err)
	}
	if n == 0 {
		return keys.ErrNotFound
	}
	return nil
}

// notNil makes a nil slice an empty value instead of NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// SetKeyUse implements keys.Store.
func (d *DB) SetKeyUse(ctx context.Context, id string, u keys.Use) error {
	_, err := d.exec(ctx, `UPDATE access_keys SET used_ms = ?, used_region = ?, used_service = ? WHERE id = ? AND used_ms <= ?`,
		fromMaybe(u.At), u.Region, u.Service, id, fromMaybe(u.At))
	if err != nil {
		return fmt.Errorf("note the use of a key: %w", err)
	}
	return nil
}

// KeysRevision implements keys.Store.
func (d *DB) KeysRevision(ctx context.Context) (int64, error) {
	var n int64
	if err := d.read.QueryRowContext(ctx, `SELECT revision FROM keys_revision`).Scan(&n); err != nil {
		return 0, fmt.Errorf("read revision of keys: %w", err)
	}
	return n, nil
}
