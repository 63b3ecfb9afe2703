package bedrockruntime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/jobs"
	"github.com/outcrop/outcrop/internal/meter"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
	"github.com/outcrop/outcrop/internal/wire/page"
)

// AsyncKind is the kind of the jobs of StartAsyncInvoke.
const AsyncKind = "async-invoke"

// Async is what asynchronous invocations need.
type Async struct {
	Jobs    jobs.Store   // required
	Wake    func()       // tells the runner of a new job; required
	Objects object.Store // takes the results; required
	Meter   Meter        // required
	Tags    Tags         // required
}

// Tags keeps the tags of invocations. resource.Book implements it.
type Tags interface {
	// Create keeps the tags of a resource that is about to be made; Forget drops
	// what is known of one that is gone.
	Create(ctx context.Context, arn string, tags map[string]string) error
	Forget(ctx context.Context, arn string) error
}

// Meter takes the usage of a run. meter.Writer implements it.
type Meter interface {
	Add(r meter.Record) error
}

const (
	// maxOpen is how many invocations of an account may wait or run in one region:
	// each keeps its input of up to 25 MB.
	maxOpen = 100
	// asyncPage is the size of a page when the caller names none.
	asyncPage = 100
	// asyncRetries is how often a run waits for a model that is busy or loading,
	// asyncPause how long each time.
	asyncRetries = 60
	asyncPause   = 5 * time.Second
	// jobID is the length of a job's id.
	jobID = 12
	// What a run leaves below <s3Uri>/<id>.
	outputName   = "output.json"
	manifestName = "manifest.json"
)

// asyncSpec is the part of an invocation that stays as long as the job.
type asyncSpec struct {
	ModelID   string         `json:"model_id"` // as the caller wrote it
	ModelARN  string         `json:"model_arn"`
	Token     *string        `json:"token,omitempty"`
	URI       string         `json:"uri"`
	Owner     *string        `json:"owner,omitempty"`
	Partition string         `json:"partition"`
	Principal call.Principal `json:"principal"`
}

// asyncResources names what StartAsyncInvoke acts on: the model, and the tags of
// the invocation that it makes.
func (s *Service) asyncResources(ctx context.Context, c *call.Call, in *rt.StartAsyncInvokeInput) ([]string, error) {
	if len(in.Tags) > 0 {
		resource.Requested(c, tagsOf(in.Tags))
		c.Need("bedrock:TagResource", arn.Bedrock(c.Region, c.Principal.Account, "async-invoke", "*"))
	}
	return s.use(ctx, c, rt.OpStartAsyncInvoke.Operation, in.ModelId)
}

func tagsOf(in []rt.Tag) []resource.Tag {
	out := make([]resource.Tag, len(in))
	for i, t := range in {
		out[i] = resource.Tag{Key: word(t.Key), Value: word(t.Value)}
	}
	return out
}

// asyncARN is the resource of GetAsyncInvoke.
func (s *Service) asyncARN(_ context.Context, _ *call.Call, in *rt.GetAsyncInvokeInput) ([]string, error) {
	if in.InvocationArn == nil {
		return nil, nil
	}
	if _, err := arn.Parse(*in.InvocationArn); err != nil {
		return nil, noInvocation()
	}
	return []string{*in.InvocationArn}, nil
}

func noInvocation() error {
	return apierr.Validation("The provided invocation ARN does not name an invocation of this account in this region.")
}

// startAsync checks a request as InvokeModel would, and keeps it as a job.
func (s *Service) startAsync(ctx context.Context, c *call.Call, in *rt.StartAsyncInvokeInput) (*rt.StartAsyncInvokeOutput, error) {
	t, err := s.resolve(ctx, c, in.ModelId)
	if err != nil {
		return nil, err
	}
	if t.Router != nil {
		return nil, noRouting()
	}
	if _, _, err := s.parse(c, t, in.ModelInput); err != nil {
		return nil, err
	}
	tags, err := resource.ReadTags(tagsOf(in.Tags))
	if errors.Is(err, resource.ErrTooManyTags) {
		return nil, apierr.Validation("tags: at most %d", resource.MaxTags)
	}
	if err != nil {
		return nil, err
	}
	out := in.OutputDataConfig.S3OutputDataConfig
	if err := s.asyncOutput(ctx, c, out); err != nil {
		return nil, err
	}
	spec := asyncSpec{
		ModelID: *in.ModelId, ModelARN: t.ModelARN, Token: in.ClientRequestToken, URI: *out.S3Uri, Owner: out.BucketOwner,
		Partition: c.Partition, Principal: c.Principal,
	}
	data, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("keep an invocation: %w", err)
	}
	now := s.now()
	j := jobs.Job{
		Account: c.Principal.Account, Region: c.Region, Kind: AsyncKind, ID: c.TokenID, Status: jobs.Queued,
		Spec: data, Input: in.ModelInput, Created: now, Updated: now,
	}
	if j.ID == "" {
		j.ID = strings.ReplaceAll(uuid.NewString(), "-", "")[:jobID]
	}
	s.starting.Lock() // one at a time, so that none slips past the quota
	defer s.starting.Unlock()
	if err := s.asyncQuota(ctx, &j); err != nil {
		return nil, err
	}
	if err := s.keepAsync(ctx, &j, asyncName(&j, c.Partition), tags); err != nil {
		return nil, fmt.Errorf("keep an invocation: %w", err)
	}
	s.cfg.Async.Wake()
	return &rt.StartAsyncInvokeOutput{InvocationArn: new(asyncName(&j, c.Partition))}, nil
}

// keepAsync keeps a job and, before it, its tags: so no decision ever sees it
// without them. A job of this id was made by an earlier try of the same request.
func (s *Service) keepAsync(ctx context.Context, j *jobs.Job, name string, tags map[string]string) error {
	_, err := s.cfg.Async.Jobs.GetJob(ctx, j.Account, j.Region, AsyncKind, j.ID)
	if !errors.Is(err, jobs.ErrNotFound) {
		return err
	}
	if err := s.cfg.Async.Tags.Create(ctx, name, tags); err != nil {
		return err
	}
	err = s.cfg.Async.Jobs.PutJob(ctx, *j)
	if err == nil || errors.Is(err, jobs.ErrExists) {
		return nil
	}
	return errors.Join(err, s.cfg.Async.Tags.Forget(ctx, name))
}

// asyncQuota refuses one open invocation too many. A repeat that finds its own job
// makes none.
func (s *Service) asyncQuota(ctx context.Context, j *jobs.Job) error {
	open, err := s.cfg.Async.Jobs.ListJobs(ctx, jobs.Query{
		Account: j.Account, Region: j.Region, Kind: AsyncKind, Statuses: []jobs.Status{jobs.Queued, jobs.Running}, Limit: maxOpen,
	})
	if err != nil {
		return fmt.Errorf("count the open invocations: %w", err)
	}
	if len(open) < maxOpen {
		return nil
	}
	_, err = s.cfg.Async.Jobs.GetJob(ctx, j.Account, j.Region, AsyncKind, j.ID)
	if errors.Is(err, jobs.ErrNotFound) {
		return apierr.QuotaExceeded("An account may have %d asynchronous invocations in progress in a region. Wait for one to end and try again.", maxOpen)
	}
	if err != nil {
		return fmt.Errorf("look for an earlier invocation: %w", err)
	}
	return nil
}

func (s *Service) now() time.Time {
	if s.cfg.Now == nil {
		return time.Now()
	}
	return s.cfg.Now()
}

// asyncOutput checks where the result shall go.
func (s *Service) asyncOutput(ctx context.Context, c *call.Call, out *rt.AsyncInvokeS3OutputDataConfig) error {
	const place = "outputDataConfig.s3OutputDataConfig."
	if out.KmsKeyId != nil {
		return apierr.Validation(place + "kmsKeyId: objects cannot be encrypted with a key of KMS here. Remove kmsKeyId and try again.")
	}
	if out.BucketOwner != nil && *out.BucketOwner != c.Principal.Account {
		return apierr.AccessDenied("The bucket of " + place + "s3Uri belongs to another account.")
	}
	ref, err := object.ParseURI(*out.S3Uri)
	if err != nil {
		return apierr.Validation(place+"s3Uri: %s.", err)
	}
	// Nothing has this name: what the store says of it tells whether the bucket is
	// there and names below the address are short enough.
	there, _, err := s.cfg.Async.Objects.Get(ctx, c.Principal.Account, ref.Join(strings.Repeat("-", jobID)).Join(manifestName))
	switch {
	case errors.Is(err, object.ErrNotFound):
		return nil
	case errors.Is(err, object.ErrNoBucket):
		return apierr.Validation(place+"s3Uri: the bucket %s does not exist. Make it with: outcrop objects mb s3://%s", ref.Bucket, ref.Bucket)
	case errors.Is(err, object.ErrBadName):
		return apierr.Validation(place + "s3Uri: too long for names of results below it.")
	case err != nil:
		return fmt.Errorf("look at the bucket: %w", err)
	}
	_ = there.Close() // read only
	return nil
}

func asyncName(j *jobs.Job, partition string) string {
	return fmt.Sprintf("arn:%s:bedrock:%s:%s:async-invoke/%s", partition, j.Region, j.Account, j.ID)
}

func (s *Service) getAsync(ctx context.Context, c *call.Call, in *rt.GetAsyncInvokeInput) (*rt.GetAsyncInvokeOutput, error) {
	unknown := noInvocation()
	name, err := arn.Parse(*in.InvocationArn)
	if err != nil {
		return nil, unknown
	}
	id, ok := strings.CutPrefix(name.Resource, "async-invoke/")
	if !ok || name.Service != "bedrock" || name.Region != c.Region || name.Account != c.Principal.Account {
		return nil, unknown
	}
	j, err := s.cfg.Async.Jobs.GetJob(ctx, c.Principal.Account, c.Region, AsyncKind, id)
	if errors.Is(err, jobs.ErrNotFound) {
		return nil, unknown
	}
	if err != nil {
		return nil, fmt.Errorf("get an invocation: %w", err)
	}
	sum, err := summary(&j)
	if err != nil {
		return nil, err
	}
	return &rt.GetAsyncInvokeOutput{
		InvocationArn: sum.InvocationArn, ModelArn: sum.ModelArn, ClientRequestToken: sum.ClientRequestToken, Status: sum.Status,
		FailureMessage: sum.FailureMessage, SubmitTime: sum.SubmitTime, LastModifiedTime: sum.LastModifiedTime, EndTime: sum.EndTime,
		OutputDataConfig: sum.OutputDataConfig,
	}, nil
}

// summary is what the API tells of a job.
func summary(j *jobs.Job) (*rt.AsyncInvokeSummary, error) {
	var spec asyncSpec
	if err := json.Unmarshal(j.Spec, &spec); err != nil {
		return nil, fmt.Errorf("read the spec of job %s: %w", j.ID, err)
	}
	out := &rt.AsyncInvokeSummary{
		InvocationArn: new(asyncName(j, spec.Partition)), ModelArn: &spec.ModelARN, ClientRequestToken: spec.Token,
		Status: new(rt.AsyncInvokeStatusInProgress), SubmitTime: &j.Created, LastModifiedTime: &j.Updated,
		OutputDataConfig: &rt.AsyncInvokeOutputDataConfig{S3OutputDataConfig: &rt.AsyncInvokeS3OutputDataConfig{S3Uri: &spec.URI, BucketOwner: spec.Owner}},
	}
	switch j.Status {
	case jobs.Completed:
		out.Status, out.EndTime = new(rt.AsyncInvokeStatusCompleted), &j.Ended
	case jobs.Failed:
		out.Status, out.EndTime, out.FailureMessage = new(rt.AsyncInvokeStatusFailed), &j.Ended, &j.Failure
	}
	return out, nil
}

// listAsync lists invocations by submission time, newest first unless asked
// otherwise.
func (s *Service) listAsync(ctx context.Context, c *call.Call, in *rt.ListAsyncInvokesInput) (*rt.ListAsyncInvokesOutput, error) {
	size := asyncPage
	if in.MaxResults != nil {
		size = int(*in.MaxResults)
	}
	q := jobs.Query{
		Account: c.Principal.Account, Region: c.Region, Kind: AsyncKind, Limit: size + 1,
		Newest: in.SortOrder == nil || *in.SortOrder != rt.SortOrderAscending,
	}
	if in.SubmitTimeAfter != nil {
		q.From = *in.SubmitTimeAfter
	}
	if in.SubmitTimeBefore != nil {
		q.To = *in.SubmitTimeBefore
	}
	if in.StatusEquals != nil {
		switch *in.StatusEquals {
		case rt.AsyncInvokeStatusCompleted:
			q.Statuses = []jobs.Status{jobs.Completed}
		case rt.AsyncInvokeStatusFailed:
			q.Statuses = []jobs.Status{jobs.Failed}
		default:
			q.Statuses = []jobs.Status{jobs.Queued, jobs.Running}
		}
	}
	if in.NextToken != nil {
		var err error
		if q.After, err = readAsyncToken(c, *in.NextToken, q.Newest); err != nil {
			return nil, err
		}
	}
	all, err := s.cfg.Async.Jobs.ListJobs(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list invocations: %w", err)
	}
	out := &rt.ListAsyncInvokesOutput{AsyncInvokeSummaries: []rt.AsyncInvokeSummary{}}
	for i := range all {
		if i == size {
			out.NextToken = new(page.Token(asyncList(c, q.Newest), page.Moment(all[i-1].Created, all[i-1].ID)))
			break
		}
		sum, err := summary(&all[i])
		if err != nil {
			return nil, err
		}
		out.AsyncInvokeSummaries = append(out.AsyncInvokeSummaries, *sum)
	}
	return out, nil
}

// asyncList stands for the lists of an account in an order.
func asyncList(c *call.Call, newest bool) string {
	return fmt.Sprintf("%s\x00%s\x00async %t", c.Principal.Account, c.Region, newest)
}

func readAsyncToken(c *call.Call, token string, newest bool) (jobs.Cursor, error) {
	place, err := page.Place(asyncList(c, newest), token)
	if err == nil {
		var made time.Time
		var id string
		if made, id, err = page.ReadMoment(place); err == nil {
			return jobs.Cursor{Created: made, ID: id}, nil
		}
	}
	return jobs.Cursor{}, apierr.Validation("nextToken: not a token that this operation returned for this order.")
}

// manifest lies beside the result.
type manifest struct {
	InvocationARN string    `json:"invocationArn"`
	ModelARN      string    `json:"modelArn"`
	Status        string    `json:"status"`
	SubmitTime    time.Time `json:"submitTime"`
	Output        string    `json:"output"`
}

// RunAsync is the handler of AsyncKind: it invokes the model and puts the native
// body of the reply at <s3Uri>/<invocation id>/output.json, with manifest.json
// beside it. A second run replaces both.
func (s *Service) RunAsync(ctx context.Context, j jobs.Job) error {
	var spec asyncSpec
	if err := json.Unmarshal(j.Spec, &spec); err != nil {
		return fmt.Errorf("read the spec of job %s: %w", j.ID, err)
	}
	ref, err := object.ParseURI(spec.URI)
	if err != nil {
		return fmt.Errorf("read the place of the result: %w", err)
	}
	body, err := s.invokeJob(ctx, &j, &spec)
	if err != nil {
		return err
	}
	ref = ref.Join(j.ID)
	m := manifest{InvocationARN: asyncName(&j, spec.Partition), ModelARN: spec.ModelARN, Status: "SUCCESS", SubmitTime: j.Created, Output: ref.Join(outputName).String()}
	note, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	// The manifest comes last: where it lies, the result does too.
	for _, part := range []struct {
		name string
		data []byte
	}{{outputName, body}, {manifestName, note}} {
		err := s.cfg.Async.Objects.Put(ctx, j.Account, ref.Join(part.name), bytes.NewReader(part.data), object.Options{})
		switch {
		case errors.Is(err, object.ErrNoBucket):
			return apierr.Validation("The bucket %s does not exist any more.", ref.Bucket)
		case errors.Is(err, object.ErrBadName):
			return apierr.Validation("The results cannot be named below %s.", spec.URI)
		case err != nil:
			return fmt.Errorf("store the result: %w", err)
		}
	}
	return nil
}

// invokeJob runs the model, and waits while it is busy or loading.
func (s *Service) invokeJob(ctx context.Context, j *jobs.Job, spec *asyncSpec) ([]byte, error) {
	for try := 1; ; try++ {
		c := &call.Call{
			ID: uuid.NewString(), Start: s.now(), Service: rt.Model.Name, Operation: rt.OpStartAsyncInvoke.Operation.Name,
			Action: rt.OpStartAsyncInvoke.Operation.Action, Region: j.Region, Partition: spec.Partition, Principal: spec.Principal,
		}
		t, err := s.resolve(ctx, c, &spec.ModelID)
		if err != nil {
			return nil, err
		}
		body, err := s.run(ctx, c, t, j.Input)
		if ctx.Err() != nil && err != nil { // given back: the next run is the one that counts
			return nil, err
		}
		busy := err != nil && (apierr.From(err).Code == apierr.CodeThrottling || apierr.From(err).Code == apierr.CodeModelNotReady)
		if !busy || try == asyncRetries {
			return body, errors.Join(err, s.settle(c, err))
		}
		pause := time.NewTimer(asyncPause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil, ctx.Err()
		case <-pause.C:
		}
	}
}

// settle keeps the usage of one run.
func (s *Service) settle(c *call.Call, err error) error {
	rec := meter.Record{
		RequestID: c.ID, Time: c.Start, Account: c.Principal.Account, Region: c.Region, Principal: c.Principal.ARN, AccessKeyID: c.Principal.AccessKeyID,
		Service: c.Service, Operation: c.Operation, ModelID: c.ModelID, ServedBy: c.ServedBy, StandIn: c.StandIn,
		InputTokens: c.Usage.InputTokens, OutputTokens: c.Usage.OutputTokens, ReusedTokens: c.Usage.ReusedTokens, Status: 200,
		LatencyMS: c.Latency.Milliseconds(), FirstTokenMS: c.FirstToken.Milliseconds(), DurationMS: s.now().Sub(c.Start).Milliseconds(),
	}
	if err != nil {
		e := apierr.From(err)
		rec.Status, rec.ErrorCode = e.HTTPStatus(), e.Code
	}
	if err := s.cfg.Async.Meter.Add(rec); err != nil {
		return fmt.Errorf("keep the usage of a run: %w", err)
	}
	return nil
}

// Failure is the text that a failed job tells its owner.
func Failure(err error) string {
	e := apierr.From(err)
	if e.Code == apierr.CodeInternal {
		return "The invocation failed because of an internal error."
	}
	return e.Message
}
