package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// usage is how much processor time has gone where since some moment, in ticks of
// 10 ms.
type usage struct {
	at    time.Time
	all   int64 // by everybody, the hypervisor included
	own   int64 // by this process and its descendants
	known bool  // only Linux tells
}

// look reads the system's counters.
func look() usage {
	u := usage{at: time.Now()}
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return u
	}
	first, _, _ := bytes.Cut(b, []byte("\n"))
	fields := bytes.Fields(first)
	if len(fields) < 9 {
		return u
	}
	for i, f := range fields[1:9] { // user nice system idle iowait irq softirq steal
		if i != 3 && i != 4 {
			u.all += ticks(f)
		}
	}
	u.own, u.known = ownTicks(), true
	return u
}

func ticks(b []byte) int64 {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// ownTicks adds up this process and its living descendants, each with its
// children that have ended.
func ownTicks() int64 {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	type process struct{ parent, used int64 }
	all := map[int64]process{}
	for _, name := range files {
		b, err := os.ReadFile(name) //nolint:gosec // of the list above
		if err != nil {
			continue // it has ended
		}
		// The name may hold anything, but ends with the last parenthesis.
		f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		if len(f) < 15 {
			continue
		}
		p := process{parent: ticks(f[1])}
		for _, t := range f[11:15] { // utime stime cutime cstime
			p.used += ticks(t)
		}
		all[ticks([]byte(filepath.Base(filepath.Dir(name))))] = p
	}
	self, sum := int64(os.Getpid()), int64(0)
	for pid, p := range all {
		for at := pid; at > 1; at = all[at].parent {
			if at == self {
				sum += p.used
				break
			}
		}
	}
	return sum
}

// foreign is how many cores others kept busy on average between two looks; 0
// when the system does not tell.
func foreign(before, after usage) float64 {
	if !before.known || !after.known {
		return 0
	}
	seconds := after.at.Sub(before.at).Seconds()
	return math.Max(0, float64((after.all-before.all)-(after.own-before.own))/100/seconds)
}

// What counts as calm, in cores that others keep busy, and how many tries a
// sample may cost when the machine is not.
const (
	calmCores = 0.1
	calmTries = 3
)

// patient takes samples at calm times. On a shared machine what others do is
// most of the noise.
type patient struct {
	// wait is how long it may still wait in all for others to leave the machine
	// alone. It shrinks.
	wait time.Duration
}

// settle waits until others have left the machine alone for half a second.
func (p *patient) settle(ctx context.Context) error {
	for p.wait > 0 {
		before := look()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
		if foreign(before, look()) <= calmCores {
			return nil
		}
		p.wait -= time.Since(before.at)
	}
	return ctx.Err()
}

// calm is what was kept of a series of tries.
type calm[T any] struct {
	values []T
	tries  int
	others float64 // greatest number of cores that others kept busy during a kept try
}

func (c *calm[T]) String() string {
	return fmt.Sprintf("the calmest %d of %d; others kept up to %.2f cores busy", len(c.values), c.tries, c.others)
}

// take tries until it has n results of calm times, or gives up after 3 n tries;
// then it keeps the n calmest. What is kept depends on what other processes did
// and never on the result.
func take[T any](ctx context.Context, p *patient, n int, try func() (value T, cores float64, err error)) (*calm[T], error) {
	type sample struct {
		value T
		cores float64
	}
	var all []sample
	for good := 0; good < n && len(all) < calmTries*n; {
		if err := p.settle(ctx); err != nil {
			return nil, err
		}
		v, cores, err := try()
		if err != nil {
			return nil, err
		}
		all = append(all, sample{v, cores})
		if cores <= calmCores {
			good++
		}
	}
	slices.SortStableFunc(all, func(a, b sample) int { return cmp.Compare(a.cores, b.cores) })
	c := &calm[T]{tries: len(all)}
	for _, s := range all[:n] {
		c.values, c.others = append(c.values, s.value), s.cores
	}
	return c, nil
}
