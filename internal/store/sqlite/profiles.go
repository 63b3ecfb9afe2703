package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/outcrop/outcrop/internal/profile"
)

const profileColumns = `id, account, region, name, description, model_source, model_arns, created_ms, updated_ms`

func scanProfile(r row) (profile.Profile, error) {
	var p profile.Profile
	var models []byte
	var created, updated int64
	if err := r.Scan(&p.ID, &p.Account, &p.Region, &p.Name, &p.Description, &p.ModelSource, &models, &created, &updated); err != nil {
		return p, err
	}
	p.Created, p.Updated = toTime(created), toTime(updated)
	return p, json.Unmarshal(models, &p.ModelARNs)
}

// PutProfile implements profile.Store.
func (d *DB) PutProfile(ctx context.Context, p profile.Profile) error {
	models, err := json.Marshal(p.ModelARNs)
	if err != nil {
		return fmt.Errorf("put profile %s: %w", p.ID, err)
	}
	n, err := d.exec(ctx, `INSERT INTO inference_profiles (`+profileColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		p.ID, p.Account, p.Region, p.Name, p.Description, p.ModelSource, string(models), fromTime(p.Created), fromTime(p.Updated))
	if err != nil {
		return fmt.Errorf("put profile %s: %w", p.ID, err)
	}
	if n == 0 {
		return profile.ErrExists
	}
	return nil
}

// GetProfile implements profile.Store.
func (d *DB) GetProfile(ctx context.Context, account, region, id string) (profile.Profile, error) {
	p, err := scanProfile(d.read.QueryRowContext(ctx, `SELECT `+profileColumns+` FROM inference_profiles
		WHERE account = ? AND region = ? AND id = ?`, account, region, id))
	if errors.Is(err, sql.ErrNoRows) {
		return profile.Profile{}, profile.ErrNotFound
	}
	if err != nil {
		return profile.Profile{}, fmt.Errorf("get profile: %w", err)
	}
	return p, nil
}

// ListProfiles implements profile.Store.
func (d *DB) ListProfiles(ctx context.Context, q profile.Query) ([]profile.Profile, error) {
	query := `SELECT ` + profileColumns + ` FROM inference_profiles WHERE account = ? AND region = ?`
	args := []any{q.Account, q.Region}
	if q.Name != "" {
		query += ` AND name = ?`
		args = append(args, q.Name)
	}
	if !q.After.IsZero() {
		query += ` AND (created_ms, id) > (?, ?)`
		args = append(args, fromTime(q.After.Created), q.After.ID)
	}
	all, err := collect(ctx, d.read, scanProfile, query+` ORDER BY created_ms, id LIMIT ?`, append(args, max(q.Limit, 1))...)
	if err != nil {
		return nil, fmt.Errorf("list profiles: %w", err)
	}
	return all, nil
}

// DeleteProfile implements profile.Store.
func (d *DB) DeleteProfile(ctx context.Context, account, region, id string) error {
	n, err := d.exec(ctx, `DELETE FROM inference_profiles WHERE account = ? AND region = ? AND id = ?`, account, region, id)
	if err != nil {
		return fmt.Errorf("delete profile: %w", err)
	}
	if n == 0 {
		return profile.ErrNotFound
	}
	return nil
}
