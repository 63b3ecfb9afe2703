package bedrockruntime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/jobs"
	"github.com/outcrop/outcrop/internal/meter"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// keeper keeps the keys that were put, and refuses to put the one named bad.
type keeper struct {
	object.Store
	put []string
	bad string
}

var errFull = errors.New("disk full")

func (k *keeper) Put(_ context.Context, _ string, ref object.Ref, _ io.Reader, _ object.Options) error {
	if ref.Key == k.bad {
		return errFull
	}
	k.put = append(k.put, ref.Key)
	return nil
}

func (*keeper) Add(meter.Record) error { return nil }

// TestManifestComesLast: nobody finds a manifest without its result.
func TestManifestComesLast(t *testing.T) {
	t.Parallel()
	for bad, want := range map[string][]string{
		"":                             {"a/aaaaaaaaaaaa/output.json", "a/aaaaaaaaaaaa/manifest.json"},
		"a/aaaaaaaaaaaa/output.json":   nil,
		"a/aaaaaaaaaaaa/manifest.json": {"a/aaaaaaaaaaaa/output.json"},
	} {
		s, _, _ := newService(chat())
		k := &keeper{bad: bad}
		s.cfg.Async.Objects, s.cfg.Async.Meter = k, k
		err := s.RunAsync(t.Context(), jobs.Job{Account: "000000000000", ID: "aaaaaaaaaaaa", Spec: []byte(`{"model_id":"a.b","uri":"s3://bucket/a"}`), Input: []byte("text")})
		if (bad == "") != (err == nil) || err != nil && !errors.Is(err, errFull) {
			t.Errorf("%q: %v", bad, err)
		}
		if d := cmp.Diff(want, k.put); d != "" {
			t.Errorf("%q: -want +got:\n%s", bad, d)
		}
	}
}

// kept is a store of jobs that only keeps them.
type kept struct {
	jobs.Store
	all  []jobs.Job
	full error // of PutJob, when set
}

func (k *kept) PutJob(_ context.Context, j jobs.Job) error {
	if _, err := k.GetJob(context.Background(), j.Account, j.Region, j.Kind, j.ID); err == nil {
		return jobs.ErrExists
	}
	if k.full != nil {
		return k.full
	}
	k.all = append(k.all, j)
	return nil
}

func (k *kept) GetJob(_ context.Context, account, region, kind, id string) (jobs.Job, error) {
	for _, j := range k.all {
		if j.Account == account && j.Region == region && j.Kind == kind && j.ID == id {
			return j, nil
		}
	}
	return jobs.Job{}, jobs.ErrNotFound
}

func (k *kept) ListJobs(_ context.Context, q jobs.Query) ([]jobs.Job, error) {
	var out []jobs.Job
	for _, j := range k.all {
		if j.Account == q.Account && j.Region == q.Region && j.Kind == q.Kind && slices.Contains(q.Statuses, j.Status) && len(out) < q.Limit {
			out = append(out, j)
		}
	}
	return out, nil
}

func (*keeper) Get(context.Context, string, object.Ref) (io.ReadCloser, object.Info, error) {
	return nil, object.Info{}, object.ErrNotFound
}

// TestAsyncQuota refuses an invocation when too many of the account are open, but
// not the repeat of one that is there.
func TestAsyncQuota(t *testing.T) {
	t.Parallel()
	s, _, _ := newService(chat())
	k := &kept{}
	s.cfg.Async = Async{Jobs: k, Wake: func() {}, Objects: &keeper{}, Meter: &keeper{}, Tags: labels{}}
	start := func(account, token string) error {
		_, err := s.startAsync(t.Context(), &call.Call{TokenID: token, Region: "us-east-1", Principal: call.Principal{Account: account}}, &rt.StartAsyncInvokeInput{
			ModelId: new("a.b"), ModelInput: []byte("text"),
			OutputDataConfig: &rt.AsyncInvokeOutputDataConfig{S3OutputDataConfig: &rt.AsyncInvokeS3OutputDataConfig{S3Uri: new("s3://bucket/a")}},
		})
		return err
	}
	for i := range maxOpen {
		if err := start("111122223333", fmt.Sprint("token ", i)); err != nil {
			t.Fatal(err)
		}
	}
	e, ok := errors.AsType[*apierr.Error](start("111122223333", "one more"))
	if !ok || e.Code != apierr.CodeServiceQuotaExceeded || e.Status != 400 {
		t.Errorf("one more: %v", e)
	}
	if err := start("111122223333", "token 7"); err != nil {
		t.Errorf("a repeat: %v", err)
	}
	if err := start("444455556666", "one more"); err != nil {
		t.Errorf("another account: %v", err)
	}
	k.all[7].Status = jobs.Failed
	if err := start("111122223333", "one more"); err != nil {
		t.Errorf("after an end: %v", err)
	}
}

// TestAsyncTags keeps the tags of an invocation before the invocation, and none of
// one that could not be kept.
func TestAsyncTags(t *testing.T) {
	t.Parallel()
	s, _, _ := newService(chat())
	k, l := &kept{}, labels{}
	s.cfg.Async = Async{Jobs: k, Wake: func() {}, Objects: &keeper{}, Meter: &keeper{}, Tags: l}
	start := func(token string, tags ...rt.Tag) error {
		_, err := s.startAsync(t.Context(), &call.Call{TokenID: token, Region: "us-east-1", Partition: "aws", Principal: call.Principal{Account: "111122223333"}}, &rt.StartAsyncInvokeInput{
			ModelId: new("a.b"), ModelInput: []byte("text"), Tags: tags,
			OutputDataConfig: &rt.AsyncInvokeOutputDataConfig{S3OutputDataConfig: &rt.AsyncInvokeS3OutputDataConfig{S3Uri: new("s3://bucket/a")}},
		})
		return err
	}
	team := rt.Tag{Key: new("team"), Value: new("a")}
	const name = "arn:aws:bedrock:us-east-1:111122223333:async-invoke/aaaaaaaaaaaa"
	if err := start("aaaaaaaaaaaa", team); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(labels{name: {"team": "a"}}, l); d != "" || len(k.all) != 1 {
		t.Errorf("%d jobs, tags -want +got:\n%s", len(k.all), d)
	}
	l[name]["team"] = "changed since"
	if err := start("aaaaaaaaaaaa", team); err != nil || l[name]["team"] != "changed since" || len(k.all) != 1 {
		t.Errorf("a repeat: %v, tags %v", err, l)
	}
	k.full = errFull
	if err := start("bbbbbbbbbbbb", team); !errors.Is(err, errFull) || len(l) != 1 {
		t.Errorf("no room: %v, tags %v", err, l)
	}
	if err := start("cccccccccccc", team, team); apierr.From(err).Code != apierr.CodeValidation {
		t.Errorf("a tag twice: %v", err)
	}
	if err := start("cccccccccccc", make([]rt.Tag, 51)...); apierr.From(err).Code != apierr.CodeValidation {
		t.Errorf("51 tags: %v", err)
	}
}

// labels are tags by ARN.
type labels map[string]map[string]string

func (l labels) Create(_ context.Context, arn string, tags map[string]string) error {
	if len(tags) > 0 {
		l[arn] = tags
	}
	return nil
}

func (l labels) Forget(_ context.Context, arn string) error {
	delete(l, arn)
	return nil
}
