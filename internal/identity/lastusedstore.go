package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/record"
)

// useKind is the kind of the records of last uses. They are no entities of the
// directory: nothing that is decided depends on them, so writing one wakes nobody.
const useKind = "iam/last-used"

// flushEvery is how often last uses are written. A crash loses what is younger:
// dates, that is, not permissions.
const flushEvery = time.Minute

// lastFlushWait is how long the last flush may take when Run ends.
const lastFlushWait = 5 * time.Second

// flushBatch is how many records one transaction writes.
const flushBatch = 200

// Now is the directory's clock.
func (d *Directory) Now() time.Time { return d.now() }

// Used notes that a principal used an action of a service in a region: who was
// active when is what the credential report and the service-last-accessed details
// tell. It is cheap, works in memory, and is written within a minute and when Run
// ends. action is an IAM action, e.g. "bedrock:InvokeModel"; service its
// namespace, e.g. "bedrock".
//
// Uses are kept for 400 days, of at most 100,000 principals.
func (d *Directory) Used(p *call.Principal, action, service, region string, at time.Time) {
	d.uses.note(p, action, service, region, at)
}

// ServiceUses returns what a principal used in the last 400 days, by service.
// entity is the id of a user or role, or the number of the account for its root.
func (d *Directory) ServiceUses(acct, entity string) []ServiceUse {
	return d.uses.of(useID{acct, entity}, d.now())
}

// LastUse returns when and where a principal used any service last, and which. The
// zero Use means not within 400 days.
func (d *Directory) LastUse(acct, entity string) (u Use, service string) {
	return d.uses.last(useID{acct, entity}, d.now())
}

// KeyUse returns the last use of a key, also one that is not written yet.
func (d *Directory) KeyUse(k keys.Key) keys.Use {
	d.uses.mu.Lock()
	defer d.uses.mu.Unlock()
	if u, ok := d.uses.keys[k.ID]; ok && u.At.After(k.Used.At) {
		return u
	}
	return k.Used
}

// loadUses reads what was noted before.
func (d *Directory) loadUses(ctx context.Context) error {
	all, err := d.records.ListRecords(ctx, record.Query{Kind: useKind, AllAccounts: true})
	if err != nil {
		return fmt.Errorf("read last uses: %w", err)
	}
	for _, r := range all {
		var v useRecord
		if err := record.Read(r, &v); err != nil {
			return err
		}
		d.uses.load(useID{r.Account, r.Name}, &v, d.now())
	}
	return nil
}

// FlushUses writes the last uses that were noted since it was called last, and
// forgets those of principals that are gone. Run calls it.
func (d *Directory) FlushUses(ctx context.Context) error {
	s := d.state.Load()
	d.uses.drop(func(id useID) bool {
		return id.entity != id.account && find(s, &userKind, id.account, id.entity) == nil && find(s, &roleKind, id.account, id.entity) == nil
	})
	now := d.now()
	f := d.uses.take(now)
	err := d.writeUses(ctx, now, f)
	if err != nil {
		d.uses.put(f)
	}
	return err
}

// lastFlush is FlushUses for a context that has ended.
func (d *Directory) lastFlush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlushWait)
	defer cancel()
	return d.FlushUses(ctx)
}

func (d *Directory) writeUses(ctx context.Context, now time.Time, f flushed) error {
	var errs []error
	for id, u := range f.keys {
		errs = append(errs, d.keys.NoteUse(ctx, id, u))
	}
	var batch []record.Change
	write := func() {
		if len(batch) > 0 {
			errs = append(errs, d.records.ApplyRecords(ctx, now, batch...))
			batch = nil
		}
	}
	for id, e := range f.entities {
		k := record.Key{Account: id.account, Kind: useKind, Name: id.entity}
		if e.empty() {
			batch = append(batch, record.Delete(k, record.Any))
		} else {
			c, err := record.Put(k, record.Any, e)
			if err != nil {
				return err
			}
			batch = append(batch, c)
		}
		if len(batch) >= flushBatch {
			write()
		}
	}
	write()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("write last uses: %w", err)
	}
	return nil
}
