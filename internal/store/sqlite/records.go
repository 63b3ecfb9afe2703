package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/record"
)

const recordColumns = `account, region, kind, name, body, version, updated_ms`

func scanRecord(r row) (record.Record, error) {
	var v record.Record
	var updated int64
	err := r.Scan(&v.Account, &v.Region, &v.Kind, &v.Name, &v.Body, &v.Version, &updated)
	v.Updated = toTime(updated)
	return v, err
}

// GetRecord implements record.Store.
func (d *DB) GetRecord(ctx context.Context, k record.Key) (record.Record, error) {
	r, err := scanRecord(d.read.QueryRowContext(ctx, `SELECT `+recordColumns+` FROM records
		WHERE kind = ? AND account = ? AND region = ? AND name = ?`, k.Kind, k.Account, k.Region, k.Name))
	if errors.Is(err, sql.ErrNoRows) {
		return record.Record{}, record.ErrNotFound
	}
	if err != nil {
		return record.Record{}, fmt.Errorf("get record: %w", err)
	}
	return r, nil
}

// ListRecords implements record.Store.
func (d *DB) ListRecords(ctx context.Context, q record.Query) ([]record.Record, error) {
	query := `SELECT ` + recordColumns + ` FROM records WHERE kind = ?`
	args := []any{q.Kind}
	where := func(condition string, values ...any) {
		query += ` AND ` + condition
		args = append(args, values...)
	}
	if !q.AllAccounts {
		where(`account = ?`, q.Account)
	}
	if !q.AllRegions {
		where(`region = ?`, q.Region)
	}
	if q.Prefix != "" {
		where(`substr(name, 1, length(?)) = ?`, q.Prefix, q.Prefix)
	}
	if q.After != "" {
		where(`name > ?`, q.After)
	}
	query += ` ORDER BY account, region, name`
	if q.Limit > 0 {
		query += ` LIMIT ?`
		args = append(args, q.Limit)
	}
	all, err := collect(ctx, d.read, scanRecord, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list records: %w", err)
	}
	return all, nil
}

// ApplyRecords implements record.Store.
func (d *DB) ApplyRecords(ctx context.Context, now time.Time, changes ...record.Change) error {
	if len(changes) == 0 {
		return nil
	}
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("change records: %w", classify(err))
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	for _, c := range changes {
		if err := applyRecord(ctx, tx, now, c); err != nil {
			return fmt.Errorf("change record %s: %w", c.Kind, classify(err))
		}
	}
	if _, err := tx.ExecContext(ctx, `UPDATE records_revision SET revision = revision + 1`); err != nil {
		return fmt.Errorf("change records: %w", classify(err))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("change records: %w", classify(err))
	}
	return nil
}

func applyRecord(ctx context.Context, tx *sql.Tx, now time.Time, c record.Change) error {
	var query string
	var args []any
	key := []any{c.Kind, c.Account, c.Region, c.Name}
	const where = ` WHERE kind = ? AND account = ? AND region = ? AND name = ?`
	switch {
	case c.Body == nil && c.Expect == record.Any:
		_, err := tx.ExecContext(ctx, `DELETE FROM records`+where, key...)
		return err
	case c.Body == nil:
		query, args = `DELETE FROM records`+where+` AND version = ?`, append(key, int64(c.Expect))
	case c.Expect == record.Absent:
		query = `INSERT INTO records (kind, account, region, name, body, version, updated_ms) VALUES (?, ?, ?, ?, ?, 1, ?) ON CONFLICT DO NOTHING`
		args = append(key, c.Body, fromTime(now))
	case c.Expect == record.Any:
		query = `INSERT INTO records (kind, account, region, name, body, version, updated_ms) VALUES (?, ?, ?, ?, ?, 1, ?)
			ON CONFLICT DO UPDATE SET body = excluded.body, version = version + 1, updated_ms = excluded.updated_ms`
		args = append(key, c.Body, fromTime(now))
	default:
		query = `UPDATE records SET body = ?, version = version + 1, updated_ms = ?` + where + ` AND version = ?`
		args = append([]any{c.Body, fromTime(now)}, append(key, int64(c.Expect))...)
	}
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		return record.ErrConflict
	}
	return err
}

// RecordsRevision implements record.Store.
func (d *DB) RecordsRevision(ctx context.Context) (int64, error) {
	var n int64
	if err := d.read.QueryRowContext(ctx, `SELECT revision FROM records_revision`).Scan(&n); err != nil {
		return 0, fmt.Errorf("read revision: %w", err)
	}
	return n, nil
}
