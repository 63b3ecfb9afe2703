package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/weights"
)

// soakRun holds many streams open at once: each stops in the middle until all
// are there, the memory is read, and all go on to their end. The client, a
// process of its own, checks that each reply counts from 0 to the end.
type soakRun struct {
	streams int
	deltas  int
	load    func(context.Context, plan) (outcome, error)
}

// soakBound is the memory that one open stream may take, in KB of 1,024 bytes.
const soakBound = 64

// meeting is where the streams wait for each other.
type meeting struct {
	at      int // delta before which they wait
	want    int64
	here    atomic.Int64
	all     chan struct{} // closed when every stream is here
	proceed chan struct{}
}

func (m *meeting) pace(ctx context.Context, i int) error {
	if i != m.at {
		return nil
	}
	if m.here.Add(1) == m.want {
		close(m.all)
	}
	select {
	case <-m.proceed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g soakRun) measure(ctx context.Context, s *section) (err error) {
	m := &meeting{at: g.deltas / 2, want: int64(g.streams), all: make(chan struct{}), proceed: make(chan struct{})}
	counted := make([]string, g.deltas)
	for i := range counted {
		counted[i] = strconv.Itoa(i)
	}
	eng := scripted.New(scripted.Reply{Deltas: counted, Pace: m.pace})
	srv, err := startProduct(ctx, app.Config{}, func(app.Config, *catalog.Catalog, *weights.Store) (engine.Engine, error) { return eng, nil })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.stop()) }()
	p := plan{Address: srv.address, Connections: g.streams, Count: g.streams, Deltas: g.deltas, Counted: true}
	body, err := converseBody("Count.", g.deltas)
	if err != nil {
		return err
	}
	r, err := srv.request("converse-stream", body)
	if err != nil {
		return err
	}
	p.Requests = [][]byte{r}

	before := memory()
	type result struct {
		o   outcome
		err error
	}
	ended := make(chan result, 1)
	begin := time.Now()
	go func() {
		o, err := g.load(ctx, p)
		ended <- result{o, err}
	}()
	select {
	case <-m.all:
	case r := <-ended:
		return fmt.Errorf("the streams ended before all were open: %w", errors.Join(r.err, ctx.Err()))
	}
	opened := time.Since(begin)
	during := memory()
	close(m.proceed)
	res := <-ended
	if res.err != nil {
		return res.err
	}
	per := func(a, b uint64) float64 { return (float64(b) - float64(a)) / float64(g.streams) / 1024 }
	s.Note = fmt.Sprintf("%d streams of %d deltas, all open at once in the middle; every delta of every stream came, in order.", g.streams, g.deltas)
	s.Add(figure{Name: "memory per open stream", Value: per(before.live, during.live), Unit: "KB", Bound: soakBound, Note: "heap and stacks in use after a collection"})
	if during.resident > 0 {
		s.Add(figure{Name: "resident memory per open stream", Value: per(before.resident, during.resident), Unit: "KB", Bound: soakBound, Note: "growth of the process, client apart"})
	}
	s.Add(figure{Name: "streams open at once", Value: float64(g.streams), Unit: "", Bound: float64(g.streams), Least: true, Note: fmt.Sprintf("the last was there after %.1f s", opened.Seconds())})
	s.Add(figure{Name: "events lost or out of order", Value: 0, Note: fmt.Sprintf("of %d", res.o.Done*g.deltas)})
	return nil
}

// usageOfMemory is what this process takes, in bytes.
type usageOfMemory struct{ live, resident uint64 }

func memory() usageOfMemory {
	debug.FreeOSMemory() // collects first
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return usageOfMemory{live: ms.HeapAlloc + ms.StackInuse, resident: uint64(resident(os.Getpid()) * 1e6)}
}
