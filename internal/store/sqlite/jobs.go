package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/jobs"
)

const jobColumns = `account, region, kind, id, status, spec, failure, tries, created_ms, updated_ms, ended_ms`

// jobKey is the condition that names one job.
const jobKey = `account = ? AND region = ? AND kind = ? AND id = ?`

func scanJob(r row) (jobs.Job, error) {
	var j jobs.Job
	return j, scanJobInto(r, &j)
}

func scanJobInto(r row, j *jobs.Job, more ...any) error {
	var created, updated, ended int64
	dest := append([]any{&j.Account, &j.Region, &j.Kind, &j.ID, &j.Status, &j.Spec, &j.Failure, &j.Tries, &created, &updated, &ended}, more...)
	if err := r.Scan(dest...); err != nil {
		return err
	}
	j.Created, j.Updated = toTime(created), toTime(updated)
	if ended != 0 {
		j.Ended = toTime(ended)
	}
	return nil
}

// endedAt is 0 for a job that has not ended.
func endedAt(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return fromTime(t)
}

// blob is b, and never NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// PutJob implements jobs.Store.
func (d *DB) PutJob(ctx context.Context, j jobs.Job) error {
	n, err := d.exec(ctx, `INSERT INTO jobs (`+jobColumns+`, input, owner, lease_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', 0) ON CONFLICT DO NOTHING`,
		j.Account, j.Region, j.Kind, j.ID, string(j.Status), blob(j.Spec), j.Failure, j.Tries, fromTime(j.Created), fromTime(j.Updated), endedAt(j.Ended), blob(j.Input))
	if err != nil {
		return fmt.Errorf("put job %s: %w", j.ID, err)
	}
	if n == 0 {
		return jobs.ErrExists
	}
	return nil
}

// GetJob implements jobs.Store.
func (d *DB) GetJob(ctx context.Context, account, region, kind, id string) (jobs.Job, error) {
	j, err := scanJob(d.read.QueryRowContext(ctx, `SELECT `+jobColumns+` FROM jobs WHERE `+jobKey, account, region, kind, id))
	if errors.Is(err, sql.ErrNoRows) {
		return jobs.Job{}, jobs.ErrNotFound
	}
	if err != nil {
		return jobs.Job{}, fmt.Errorf("get job: %w", err)
	}
	return j, nil
}

// ListJobs implements jobs.Store.
func (d *DB) ListJobs(ctx context.Context, q jobs.Query) ([]jobs.Job, error) {
	query := `SELECT ` + jobColumns + ` FROM jobs WHERE account = ? AND region = ? AND kind = ?`
	args := []any{q.Account, q.Region, q.Kind}
	if len(q.Statuses) > 0 {
		query += ` AND status IN (?` + strings.Repeat(`, ?`, len(q.Statuses)-1) + `)`
		for _, s := range q.Statuses {
			args = append(args, string(s))
		}
	}
	if !q.From.IsZero() {
		query += ` AND created_ms > ?`
		args = append(args, fromTime(q.From))
	}
	if !q.To.IsZero() {
		query += ` AND created_ms < ?`
		args = append(args, fromTime(q.To))
	}
	order, behind := ``, `>`
	if q.Newest {
		order, behind = ` DESC`, `<`
	}
	if !q.After.IsZero() {
		query += ` AND (created_ms, id) ` + behind + ` (?, ?)`
		args = append(args, fromTime(q.After.Created), q.After.ID)
	}
	query += ` ORDER BY created_ms` + order + `, id` + order + ` LIMIT ?`
	all, err := collect(ctx, d.read, scanJob, query, append(args, max(q.Limit, 1))...)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return all, nil
}

// LeaseJob implements jobs.Store.
func (d *DB) LeaseJob(ctx context.Context, kinds []string, owner string, now, until time.Time) (jobs.Job, error) {
	if len(kinds) == 0 {
		return jobs.Job{}, jobs.ErrNotFound
	}
	args := []any{owner, fromTime(until), fromTime(now)}
	for _, k := range kinds {
		args = append(args, k)
	}
	var j jobs.Job
	err := scanJobInto(d.write.QueryRowContext(ctx, `UPDATE jobs SET status = 'Running', owner = ?, lease_ms = ?, updated_ms = ?, tries = tries + 1
		WHERE rowid = (SELECT rowid FROM jobs WHERE kind IN (?`+strings.Repeat(`, ?`, len(kinds)-1)+`) AND status IN ('Queued', 'Running') AND lease_ms < ?
			ORDER BY created_ms LIMIT 1)
		RETURNING `+jobColumns+`, input`, append(args, fromTime(now))...), &j, &j.Input)
	if errors.Is(err, sql.ErrNoRows) {
		return jobs.Job{}, jobs.ErrNotFound
	}
	if err != nil {
		return jobs.Job{}, fmt.Errorf("lease a job: %w", classify(err))
	}
	return j, nil
}

// DropJobs implements jobs.Store.
func (d *DB) DropJobs(ctx context.Context, kinds []string, t time.Time, limit int) (int, error) {
	if len(kinds) == 0 {
		return 0, nil
	}
	args := []any{fromTime(t)}
	for _, k := range kinds {
		args = append(args, k)
	}
	n, err := d.exec(ctx, `DELETE FROM jobs WHERE rowid IN (SELECT rowid FROM jobs WHERE ended_ms > 0 AND ended_ms < ?
		AND kind IN (?`+strings.Repeat(`, ?`, len(kinds)-1)+`) ORDER BY ended_ms LIMIT ?)`, append(args, max(limit, 1))...)
	if err != nil {
		return 0, fmt.Errorf("drop jobs: %w", err)
	}
	return int(n), nil
}

// RenewJob implements jobs.Store.
func (d *DB) RenewJob(ctx context.Context, j jobs.Job, owner string, until time.Time) error {
	return d.held(ctx, "renew", j, owner, `lease_ms = ?`, fromTime(until))
}

// EndJob implements jobs.Store.
func (d *DB) EndJob(ctx context.Context, j jobs.Job, owner string) error {
	return d.held(ctx, "end", j, owner, `status = ?, spec = ?, input = x'', failure = ?, updated_ms = ?, ended_ms = ?, owner = '', lease_ms = 0`,
		string(j.Status), blob(j.Spec), j.Failure, fromTime(j.Updated), endedAt(j.Ended))
}

// ReleaseJob implements jobs.Store.
func (d *DB) ReleaseJob(ctx context.Context, j jobs.Job, owner string) error {
	return d.held(ctx, "release", j, owner, `status = 'Queued', tries = tries - 1, owner = '', lease_ms = 0`)
}

// FreeJobs implements jobs.Store.
func (d *DB) FreeJobs(ctx context.Context) error {
	if _, err := d.exec(ctx, `UPDATE jobs SET lease_ms = 0 WHERE status = 'Running'`); err != nil {
		return fmt.Errorf("free jobs: %w", err)
	}
	return nil
}

// held changes a job that owner holds.
func (d *DB) held(ctx context.Context, what string, j jobs.Job, owner, set string, args ...any) error {
	n, err := d.exec(ctx, `UPDATE jobs SET `+set+` WHERE `+jobKey+` AND owner = ? AND status = 'Running'`,
		append(args, j.Account, j.Region, j.Kind, j.ID, owner)...)
	if err != nil {
		return fmt.Errorf("%s job %s: %w", what, j.ID, err)
	}
	if n == 0 {
		return jobs.ErrLost
	}
	return nil
}
