package network_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/network"
)

func flow(at time.Time) network.Flow {
	return network.Flow{
		Interface: "private", Src: netip.MustParseAddrPort("198.51.100.7:4711"), Dst: netip.MustParseAddrPort("192.0.2.1:443"),
		Packets: 3, Bytes: 1234, Start: at, End: at.Add(2 * time.Second), Action: network.Accept,
	}
}

// The record that AWS's guide shows, with our numbers.
func TestFlowFormat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := network.NewFlowLog(network.FlowConfig{Dir: dir, Account: account})
	at := time.Unix(1418530010, 0)
	l.Record(flow(at))
	l.Record(network.Flow{Interface: "egress-models", Start: at, End: at, Action: network.Reject})
	v6 := flow(at)
	v6.Src = netip.MustParseAddrPort("[2001:db8::7%eth0]:1")
	l.Record(v6)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	want := "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n" +
		"2 123456789012 private 198.51.100.7 192.0.2.1 4711 443 6 3 1234 1418530010 1418530012 ACCEPT OK\n" +
		"2 123456789012 egress-models - - - - - 0 0 1418530010 1418530010 REJECT OK\n" +
		"2 123456789012 private 2001:db8::7 192.0.2.1 1 443 6 3 1234 1418530010 1418530012 ACCEPT OK\n"
	if string(b) != want {
		t.Errorf("got\n%s\nwant\n%s", b, want)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// Files end by size and by age, and all together stay small: the oldest go.
func TestFlowRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := network.NewFlowLog(network.FlowConfig{Dir: dir, Account: account, FileSize: 1000, FileAge: time.Hour, Total: 4000})
		count := func() int {
			files, err := filepath.Glob(filepath.Join(dir, "*.log"))
			if err != nil {
				t.Fatal(err)
			}
			return len(files)
		}
		l.Record(flow(time.Now()))
		if err := l.Flush(); err != nil || count() != 1 {
			t.Fatalf("%d files, %v", count(), err)
		}
		time.Sleep(time.Hour)
		l.Record(flow(time.Now()))
		if err := l.Flush(); err != nil || count() != 2 {
			t.Fatalf("after an hour: %d files, %v", count(), err)
		}
		for range 200 {
			l.Record(flow(time.Now()))
		}
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		var total int64
		files, _ := os.ReadDir(dir)
		for _, f := range files {
			info, err := f.Info()
			if err != nil || info.Size() > 1200 {
				t.Errorf("file of %d bytes, %v", info.Size(), err)
			}
			total += info.Size()
		}
		if total > 4000+1000 || len(files) < 3 {
			t.Errorf("%d bytes in %d files", total, len(files))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Too many at once are dropped, told in one record, and never waited for.
func TestFlowOverload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := network.NewFlowLog(network.FlowConfig{Dir: dir, Account: account, Queue: 10})
	var g sync.WaitGroup
	for range 4 {
		g.Go(func() {
			for range 25 {
				l.Record(flow(time.Now()))
			}
		})
	}
	g.Wait()
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	got := flows(t, dir)
	if len(got) != 11 || got[10][fStatus] != "SKIPDATA" || got[10][fAction] != "-" || l.Lost() != 90 {
		t.Errorf("%d records, the last %v, %d lost", len(got), got[len(got)-1], l.Lost())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFlowRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := network.NewFlowLog(network.FlowConfig{Dir: dir, Account: account, Queue: 100})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		l.Record(flow(time.Now()))
		time.Sleep(1100 * time.Millisecond)
		if n := len(flows(t, dir)); n != 1 {
			t.Errorf("%d records after a second", n)
		}
		for range 99 { // more than half of the queue wakes the writer
			l.Record(flow(time.Now()))
			synctest.Wait()
		}
		if n := len(flows(t, dir)); n < 50 || l.Lost() != 0 {
			t.Errorf("%d records before the next second, %d lost", n, l.Lost())
		}
		cancel()
		if err := <-done; err != nil || len(flows(t, dir)) != 100 {
			t.Errorf("%d records at the end, %v", len(flows(t, dir)), err)
		}
	})
}

// A disk that takes nothing loses records and stops nobody.
func TestFlowNoDisk(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := network.NewFlowLog(network.FlowConfig{Dir: filepath.Join(file, "flow"), Account: account})
	l.Record(flow(time.Now()))
	if err := l.Flush(); err == nil || !strings.Contains(err.Error(), "flow records") {
		t.Errorf("error %v", err)
	}
	var none *network.FlowLog
	none.Record(flow(time.Now()))
	if none.Flush() != nil || none.Close() != nil || none.Lost() != 0 {
		t.Error("no log is no error")
	}
}
