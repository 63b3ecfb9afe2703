package access_test

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/access/accesstest"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

var update = flag.Bool("update", false, "write the decisions of truth tables anew")

// TestTables reads truth tables from testdata. A file has policies, each under its
// name, and a table: its first line names the columns, each other line is a case,
// with the decision behind "=>". "-" is nothing. Cases go through Authorize, and
// through the naive evaluation.
//
// Columns: who (see callers), action, on (see targets), owner (own, other),
// identity, boundary, session, control (levels "a/b" of policies "a+b"), resource,
// trust, endpoint, ptag and rtag ("k=v"), key ("k=v;k=v"), from (an address, "vpce"
// or "plain" for no TLS).
func TestTables(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			policies := map[string]string{}
			for i := range a.Files {
				if f := &a.Files[i]; f.Name != "table" {
					policies[f.Name] = string(f.Data)
					continue
				} else if after := runTable(t, string(f.Data), policies); *update {
					f.Data = []byte(after)
				} else if after != string(f.Data) {
					t.Errorf("got the table\n%s\nwant\n%s", after, f.Data)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(a), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// runTable decides each case of a table and returns it with the decisions.
func runTable(t *testing.T, table string, policies map[string]string) string {
	t.Helper()
	var out strings.Builder
	var columns []string
	used := map[string]bool{"-": true}
	width := 0
	for line := range strings.Lines(table) {
		given, _, _ := strings.Cut(line, "=>")
		width = max(width, len(strings.TrimRight(given, " \n")))
	}
	for line := range strings.Lines(table) {
		given, _, _ := strings.Cut(strings.TrimRight(line, "\n"), "=>")
		given = strings.TrimRight(given, " ")
		cells := strings.Fields(given)
		switch {
		case len(cells) == 0:
			out.WriteString("\n")
			continue
		case columns == nil:
			columns = cells
			out.WriteString(given + "\n")
			continue
		case len(cells) != len(columns):
			t.Fatalf("%d cells for %d columns: %s", len(cells), len(columns), line)
		}
		w := accesstest.World{
			Region: "us-east-1", Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Action: "bedrock:GetGuardrail",
			Resource: targets["guardrail"], Keys: map[string][]string{},
			Source: call.Source{TLS: true, IP: netip.MustParseAddr("10.1.2.3")},
		}
		w.Principal = callers()["alice"]
		for i, cell := range cells {
			fillCell(t, &w, columns[i], cell, policies, used)
		}
		fmt.Fprintf(&out, "%-*s => %s\n", width, given, authorizeCase(t, &w))
	}
	for name := range policies {
		if !used[name] {
			t.Errorf("no case has the policy %s", name)
		}
	}
	return out.String()
}

// fillCell puts one cell into a world.
func fillCell(t *testing.T, w *accesstest.World, column, cell string, policies map[string]string, used map[string]bool) {
	t.Helper()
	text := func(name string) string {
		p, ok := policies[name]
		if !ok && name != "-" {
			t.Fatalf("there is no policy %q", name)
		}
		used[name] = true
		return p
	}
	list := func(names string) []string {
		var all []string
		for name := range strings.SplitSeq(names, "+") {
			if name != "-" {
				all = append(all, text(name))
			}
		}
		return all
	}
	tags := func() map[string]string {
		k, v, ok := strings.Cut(cell, "=")
		if !ok {
			return nil
		}
		return map[string]string{k: v}
	}
	switch column {
	case "who":
		p, ok := callers()[cell]
		if !ok {
			t.Fatalf("there is no caller %q", cell)
		}
		w.Principal = p
	case "action":
		w.Action = cell
	case "on":
		if w.Resource = targets[cell]; w.Resource == "" {
			t.Fatalf("there is no target %q", cell)
		}
	case "owner":
		w.Owner = map[string]string{"own": accesstest.Home, "other": accesstest.Other}[cell]
	case "identity":
		w.Identity = list(cell)
	case "boundary":
		w.Boundary = text(cell)
	case "session":
		w.Session = list(cell)
	case "control":
		if cell != "-" {
			for level := range strings.SplitSeq(cell, "/") {
				w.Control = append(w.Control, list(level))
			}
		}
	case "resource":
		w.ResourcePolicy = text(cell)
	case "trust":
		w.ResourcePolicy, w.Trust = text(cell), true
	case "endpoint":
		if cell != "-" {
			w.Source.EndpointPolicy = []byte(text(cell))
		}
	case "ptag":
		w.PrincipalTags = tags()
	case "rtag":
		w.ResourceTags = tags()
	case "key":
		for one := range strings.SplitSeq(cell, ";") {
			if k, v, ok := strings.Cut(one, "="); ok {
				w.Keys[strings.ToLower(k)] = []string{v}
			}
		}
	case "from":
		switch cell {
		case "vpce":
			w.Source.VPCE, w.Source.VPC = "vpce-1", "vpc-1"
		case "plain":
			w.Source.TLS = false
		default:
			w.Source.IP = netip.MustParseAddr(cell)
		}
	default:
		t.Fatalf("there is no column %q", column)
	}
}

// targets are the resources of tables.
var targets = map[string]string{
	"*":         "*",
	"guardrail": "arn:aws:bedrock:us-east-1:" + accesstest.Home + ":guardrail/g",
	"foreign":   "arn:aws:bedrock:us-east-1:" + accesstest.Other + ":guardrail/g",
	"claude":    "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2",
	"nova":      "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
	"profile":   "arn:aws:bedrock:us-east-1:" + accesstest.Home + ":inference-profile/us.amazon.nova-lite-v1:0",
	"role":      "arn:aws:iam::" + accesstest.Home + ":role/job",
	"their":     "arn:aws:iam::" + accesstest.Other + ":role/job",
}

// callers are the principals of tables.
func callers() map[string]call.Principal {
	p := accesstest.Principals()
	short, long := p[1], p[0]
	short.Bearer, short.BearerType = true, "SHORT_TERM"
	long.Bearer, long.BearerType = true, "LONG_TERM"
	return map[string]call.Principal{
		"alice": p[0], "alice+mfa": p[1], "alice+session": p[2], "app": p[4], "app+mfa": p[5], "app+web": p[6],
		"root": p[7], "fred": p[8], "service": p[9], "web": p[10], "short": short, "long": long,
	}
}

// authorizeCase says what Authorize says of a world, and that the naive evaluation
// and Decide say the same.
func authorizeCase(t *testing.T, w *accesstest.World) string {
	t.Helper()
	c := compile(t, w)
	cl, need := c.Call()
	err := c.Authorizer().Authorize(t.Context(), cl, need)
	if d := decide(t, c); d.Outcome.String() != accesstest.Naive(w) {
		t.Errorf("Decide says %v, the naive evaluation %s: %s", d.Outcome, accesstest.Naive(w), show(w))
	} else if !w.Principal.Bearer && (err == nil) != (d.Outcome == access.Allowed) {
		t.Errorf("Decide says %v, Authorize %v: %s", d.Outcome, err, show(w))
	}
	if !cl.Decision.Made || cl.Decision.Allowed != (err == nil) {
		t.Errorf("Authorize says %v and decides %+v", err, cl.Decision)
	}
	if err == nil {
		if cl.Decision.By == "" {
			return "allowed to the root"
		}
		return "allowed by " + cl.Decision.By
	}
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok {
		t.Fatal(err)
	}
	why := e.Message
	for _, mark := range []string{" because no ", " with an explicit deny "} {
		if i := strings.Index(why, mark); i >= 0 {
			why = why[i+1:]
		}
	}
	return strings.TrimSuffix(why, " allows the "+w.Action+" action")
}

// TestTableNames keeps the tables complete: the truth tables that the product
// promises are there.
func TestTableNames(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".txtar"))
	}
	want := []string{"abac", "bearer", "context", "control", "endpoint", "layers", "listing", "mfa", "resource", "root", "trust"}
	if slices.Sort(names); !slices.Equal(names, want) {
		t.Errorf("tables %v, want %v", names, want)
	}
}
