package sts_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

var update = flag.Bool("update", false, "write the golden files anew")

// table collects the rows of a truth table, and compares them with its golden file.
type table struct{ rows []string }

// row adds a case and how it ended: "ok" with what is said about it, or the error
// that a client would see, without the encoded reason.
func (x *table) row(err error, said, format string, args ...any) {
	end := "ok"
	if said != "" {
		end += ", " + said
	}
	if err != nil {
		e, ok := errors.AsType[*apierr.Error](err)
		if !ok {
			e = apierr.From(err)
		}
		text, _, _ := strings.Cut(e.Message, ". Encoded authorization")
		end = fmt.Sprintf("%s %d: %s", e.Code, e.HTTPStatus(), text)
	}
	x.rows = append(x.rows, fmt.Sprintf(format, args...)+"\n    "+end+"\n")
}

func (x *table) check(t *testing.T, name string) {
	t.Helper()
	path, got := filepath.Join("testdata", name+".txt"), strings.Join(x.rows, "")
	if *update {
		must(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}
