package identity

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/outcrop/outcrop/internal/record"
)

// attempts is how often a change is tried when other processes change the same
// account at the same time.
const attempts = 10

// tx is a change under way. Its state is what the directory will be.
type tx struct {
	state   *state
	changes []record.Change
	owned   map[[2]string]bool // tables that were copied for this change
	touched map[string]bool    // accounts
}

// change takes up what other processes wrote, runs fn and makes what it put and removed durable, all or nothing, then
// visible. fn may run more than once, each time on the newest state, and must not
// have other effects. An error of fn ends the change and is returned as it is.
//
// Errors: ConcurrentModification 409 when other processes were always faster.
func (d *Directory) change(ctx context.Context, fn func(t *tx) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for range attempts {
		if err := d.refresh(ctx); err != nil {
			return err
		}
		old := d.state.Load()
		t := &tx{state: old.clone(), owned: make(map[[2]string]bool), touched: make(map[string]bool)}
		if err := fn(t); err != nil {
			return err
		}
		if len(t.changes) == 0 {
			return nil
		}
		for acct := range t.touched {
			expect := record.Absent
			if a := old.accounts[acct]; a != nil && a.version > 0 {
				expect = record.Expectation(a.version)
			}
			g, err := record.Put(record.Key{Account: acct, Kind: guardKind, Name: "guard"}, expect, struct{}{})
			if err != nil {
				return err
			}
			t.changes = append(t.changes, g)
			t.state.accounts[acct].version++
		}
		// A caller who hangs up must not leave it open whether this was done.
		err := d.records.ApplyRecords(context.WithoutCancel(ctx), d.now(), t.changes...)
		if err == nil {
			d.publish(t.state)
			return nil
		}
		if !errors.Is(err, record.ErrConflict) {
			return fmt.Errorf("change the directory: %w", err)
		}
	}
	return apiError(codeConcurrent, "The request was rejected because multiple requests to change this object were submitted simultaneously. Wait a few minutes and submit your request again.")
}

// write returns the table of a kind for changing.
func write[T any](t *tx, k *kind[T], acct string) *table[T] {
	if !t.touched[acct] {
		a := &account{tables: make(map[string]any)}
		if old := t.state.accounts[acct]; old != nil {
			a.version = old.version
			maps.Copy(a.tables, old.tables)
		}
		t.state.accounts[acct], t.touched[acct] = a, true
	}
	at := [2]string{acct, k.name}
	if !t.owned[at] {
		old := all(t.state, k, acct)
		tb := &table[T]{byID: make(map[string]*T, len(old.byID)+1), byName: make(map[string]*T, len(old.byName)+1)}
		maps.Copy(tb.byID, old.byID)
		maps.Copy(tb.byName, old.byName)
		t.state.accounts[acct].tables[k.name], t.owned[at] = tb, true
	}
	return all(t.state, k, acct)
}

// put stores v, new or in place of the entity with its id. The caller has made
// sure that its name is free, and changes v no more.
func put[T any](t *tx, k *kind[T], acct string, v *T) error {
	if k.prepare != nil {
		if err := k.prepare(v); err != nil {
			return err
		}
	}
	c, err := record.Put(record.Key{Account: acct, Kind: k.name, Name: k.id(v)}, record.Any, v)
	if err != nil {
		return err
	}
	t.changes = append(t.changes, c)
	tb := write(t, k, acct)
	if old := tb.byID[k.id(v)]; old != nil {
		delete(tb.byName, k.key(old))
	}
	tb.byID[k.id(v)], tb.byName[k.key(v)] = v, v
	return nil
}

// remove deletes an entity.
func remove[T any](t *tx, k *kind[T], acct string, v *T) {
	t.changes = append(t.changes, record.Delete(record.Key{Account: acct, Kind: k.name, Name: k.id(v)}, record.Any))
	tb := write(t, k, acct)
	delete(tb.byID, k.id(v))
	delete(tb.byName, k.key(v))
}
