package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/outcrop/outcrop/internal/record"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// TestTagsMove opens a database of an Outcrop that kept tags with the resources.
func TestTagsMove(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "outcrop.db")
	r := raw(t, path)
	execRaw(t, r, "PRAGMA application_id=0x4f757443")
	p, err := goose.NewProvider(goose.DialectSQLite3, r, os.DirFS("migrations"), goose.WithTableName("schema_version"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	execRaw(t, r, `INSERT INTO inference_profiles VALUES
		('111122223333', 'us-east-1', 'aaaaaaaaaaaa', 'a', '', 'arn', '[]', '{"team":"a \"b\""}', 1, 2),
		('111122223333', 'us-gov-west-1', 'bbbbbbbbbbbb', 'b', '', 'arn', '[]', '{"x":""}', 1, 2),
		('111122223333', 'us-east-1', 'cccccccccccc', 'c', '', 'arn', '[]', 'null', 1, 2)`)
	execRaw(t, r, `INSERT INTO jobs VALUES
		('444455556666', 'eu-west-1', 'async-invoke', 'dddddddddddd', 'Queued', CAST('{"partition":"aws","tags":{"k":"v"}}' AS BLOB), x'', '', 0, '', 0, 1, 2, 0),
		('444455556666', 'eu-west-1', 'async-invoke', 'eeeeeeeeeeee', 'Queued', CAST('{"partition":"aws"}' AS BLOB), x'', '', 0, '', 0, 1, 2, 0)`)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	db := newStore(t, sqlite.Config{Path: path})
	got, err := db.ListRecords(t.Context(), record.Query{Kind: "bedrock/resource", AllAccounts: true, AllRegions: true})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/aaaaaaaaaaaa":            `{"tags":{"team":"a \"b\""}}`,
		"arn:aws-us-gov:bedrock:us-gov-west-1:111122223333:application-inference-profile/bbbbbbbbbbbb": `{"tags":{"x":""}}`,
		"arn:aws:bedrock:eu-west-1:444455556666:async-invoke/dddddddddddd":                             `{"tags":{"k":"v"}}`,
	}
	if len(got) != len(want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
	for _, r := range got {
		if string(r.Body) != want[r.Name] || r.Version != 1 {
			t.Errorf("%s: %s, version %d", r.Name, r.Body, r.Version)
		}
	}
	p2, err := db.GetProfile(t.Context(), "111122223333", "us-east-1", "aaaaaaaaaaaa")
	if err != nil || p2.Name != "a" {
		t.Errorf("profile %+v, %v", p2, err)
	}
}
