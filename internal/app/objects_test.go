package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestObjectsCommand carries a file into a bucket and out again.
func TestObjectsCommand(t *testing.T) {
	t.Parallel()
	data, dir := t.TempDir(), t.TempDir()
	if status, out := run(t, data, "keys", "create"); status != 0 {
		t.Fatal(out)
	}
	file := filepath.Join(dir, "report.txt")
	if err := os.WriteFile(file, []byte("text of the report"), 0o600); err != nil {
		t.Fatal(err)
	}
	back := filepath.Join(dir, "back")
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"ls", "s3://reports"}, 1, "outcrop objects mb"},
		{[]string{"mb", "s3://reports"}, 0, "s3://reports is there now"},
		{[]string{"mb", "s3://reports"}, 1, "exists already"},
		{[]string{"mb", "s3://Reports"}, 2, "lower-case"},
		{[]string{"mb", "s3://reports/x"}, 2, "not a bucket"},
		{[]string{"cp", file, "s3://reports/in/"}, 0, "s3://reports/in/report.txt is there now"},
		{[]string{"cp", file, dir}, 2, "exactly one"},
		{[]string{"ls", "s3://reports"}, 0, "s3://reports/in/report.txt"},
		{[]string{"ls", "s3://reports/out", "--json"}, 0, "[]"},
		{[]string{"cp", "s3://reports/in/report.txt", back}, 0, back},
		{[]string{"cp", "s3://reports/none", back}, 1, "no such object"},
		{[]string{"ls", "s3://reports", "--account", "111122223333"}, 1, "no such bucket"},
		{[]string{"rm", "s3://reports/in/report.txt"}, 0, "is gone"},
		{[]string{"rm", "s3://reports"}, 2, "no object"},
		{[]string{"ls", "s3://reports", "--json"}, 0, "[]"},
	} {
		status, out := run(t, data, append([]string{"objects"}, c.args...)...)
		if status != c.status || !strings.Contains(out, c.want) {
			t.Errorf("%v: status %d, %s", c.args, status, out)
		}
	}
	if got, err := os.ReadFile(back); err != nil || string(got) != "text of the report" {
		t.Errorf("%q, %v", got, err)
	}
}
