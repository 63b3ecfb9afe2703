package network_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/network"
)

const account = "123456789012"

// flows are the records in the files of a folder, without the files' heads.
func flows(t *testing.T, dir string) [][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		head, rest, ok := strings.Cut(string(b), "\n")
		if !ok || head != network.FlowHeader {
			t.Fatalf("%s begins with %q", f, head)
		}
		for line := range strings.Lines(rest) {
			fields := strings.Fields(line)
			if len(fields) != 14 || !strings.HasSuffix(line, "\n") || fields[0] != "2" || fields[1] != account {
				t.Fatalf("record %q", line)
			}
			all = append(all, fields)
		}
	}
	return all
}

// The fields of a record.
const (
	fInterface = 2
	fSrc       = 3
	fDst       = 4
	fSrcPort   = 5
	fDstPort   = 6
	fProtocol  = 7
	fPackets   = 8
	fBytes     = 9
	fAction    = 12
	fStatus    = 13
)
