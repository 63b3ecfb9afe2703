package identity

import (
	"fmt"
	"maps"
	"strings"

	"github.com/outcrop/outcrop/internal/record"
)

// guardKind is the kind of the record that every change of an account rewrites.
// Its version is the version of the account: it keeps the changes of several
// processes apart, and tells a reader which accounts changed.
const guardKind = "iam/guard"

// state is the directory at one moment. It never changes once published, but for
// its cache.
type state struct {
	seen     int64               // revision of the store that this state has taken up
	accounts map[string]*account // by id; "" holds what belongs to the installation
	next     chan struct{}       // closed when another state takes over
	cache    *policyCache
}

func newState() *state {
	return &state{seen: -1, accounts: make(map[string]*account), next: make(chan struct{}), cache: newPolicyCache()}
}

// clone copies s for a writer. The accounts are shared.
func (s *state) clone() *state {
	c := newState()
	c.seen = s.seen
	maps.Copy(c.accounts, s.accounts)
	return c
}

// account is what one account holds.
type account struct {
	version int64          // of the guard record
	tables  map[string]any // *table[T] by the name of the kind
}

// table holds the entities of one kind in one account.
type table[T any] struct {
	byID   map[string]*T
	byName map[string]*T // by the label in lower case; the id of kinds without
}

// kind describes the entities of one sort. An entity is a struct that is stored
// as JSON and never changed once it was put. All kinds stand in the list kinds.
type kind[T any] struct {
	name  string          // of the records, e.g. "iam/user"
	id    func(*T) string // unique in the account, never changes; the name of the record
	label func(*T) string // unique in the account without regard to case; nil: the id
	// prepare makes what is not stored, such as compiled policies; nil: nothing.
	prepare func(*T) error
}

// anyKind is a kind whose entities' type does not matter.
type anyKind interface {
	kindName() string
	load(all []record.Record) (any, error)
}

func (k *kind[T]) kindName() string { return k.name }

func (k *kind[T]) key(v *T) string {
	if k.label == nil {
		return k.id(v)
	}
	return strings.ToLower(k.label(v))
}

func (k *kind[T]) load(all []record.Record) (any, error) {
	t := &table[T]{byID: make(map[string]*T, len(all)), byName: make(map[string]*T, len(all))}
	for _, r := range all {
		v := new(T)
		if err := record.Read(r, v); err != nil {
			return nil, err
		}
		if k.prepare != nil {
			if err := k.prepare(v); err != nil {
				return nil, fmt.Errorf("record %s %s: %w", r.Kind, r.Name, err)
			}
		}
		t.byID[k.id(v)], t.byName[k.key(v)] = v, v
	}
	return t, nil
}

// all returns the entities of a kind in an account. The table must not be changed.
func all[T any](s *state, k *kind[T], acct string) *table[T] {
	if a := s.accounts[acct]; a != nil {
		if t, ok := a.tables[k.name].(*table[T]); ok {
			return t
		}
	}
	return &table[T]{}
}

// find returns the entity with an id, or nil.
func find[T any](s *state, k *kind[T], acct, id string) *T { return all(s, k, acct).byID[id] }

// named returns the entity with a name, or nil. Names are told apart by case here,
// though no two may differ in case alone: so a name that a policy does not know
// leads nowhere.
func named[T any](s *state, k *kind[T], acct, name string) *T {
	v := taken(s, k, acct, name)
	if v == nil || k.label == nil || k.label(v) != name {
		return nil
	}
	return v
}

// taken returns the entity that keeps a name from being given, or nil: one with
// the same name without regard to case.
func taken[T any](s *state, k *kind[T], acct, name string) *T {
	return all(s, k, acct).byName[strings.ToLower(name)]
}
