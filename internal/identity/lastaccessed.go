package identity

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

const (
	maxJobs = 100                // jobs of one account that are remembered; the oldest go first
	jobLife = 7 * 24 * time.Hour // how long one can be asked for
)

// AccessJob is a GenerateServiceLastAccessedDetails: whose uses were asked for. It
// is done as soon as it is made; the details are read when it is asked for.
type AccessJob struct {
	ID      string // UUID
	ARN     string // user, group, role or managed policy
	Actions bool   // actions too, not only services
	Created time.Time
}

var jobKind = kind[AccessJob]{name: "iam/access-job", id: func(j *AccessJob) string { return j.ID }}

// CreateAccessJob makes a job and forgets those of the account that are more than
// 7 days old, or more than 100.
func (d *Directory) CreateAccessJob(ctx context.Context, acct, arn string, actions bool) (*AccessJob, error) {
	j := &AccessJob{ID: uuid.NewString(), ARN: arn, Actions: actions, Created: d.second()}
	return j, d.change(ctx, func(t *tx) error {
		list := slices.SortedFunc(maps.Values(all(t.state, &jobKind, acct).byID), func(a, b *AccessJob) int {
			return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
		})
		for i, old := range list {
			if len(list)-i >= maxJobs || d.now().Sub(old.Created) > jobLife {
				remove(t, &jobKind, acct, old)
			}
		}
		return put(t, &jobKind, acct, j)
	})
}

// AccessJob returns a job of an account. Errors: NoSuchEntity.
func (d *Directory) AccessJob(acct, id string) (*AccessJob, error) {
	j := find(d.state.Load(), &jobKind, acct, id)
	if j == nil || d.now().Sub(j.Created) > jobLife {
		return nil, apiError(codeNoSuchEntity, "Job with id %s cannot be found.", id)
	}
	return j, nil
}
