package bedrock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/profile"
	"github.com/outcrop/outcrop/internal/provision"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
	"github.com/outcrop/outcrop/internal/wire/page"
)

// Throughputs keeps provisioned throughput. provision.Book implements it.
type Throughputs interface {
	Get(account, region, idOrName string) (provision.Throughput, error)
	List(account, region string) []provision.Throughput
	Create(ctx context.Context, t provision.Throughput) (provision.Throughput, error)
	Update(ctx context.Context, account, region, id, name, model string) error
	Delete(ctx context.Context, account, region, id string) error
	Units() int
}

// createThroughputResources is the model that is to be provisioned. Tags are a
// permission of their own, decided together with it.
func (s *Service) createThroughputResources(_ context.Context, c *call.Call, in *br.CreateProvisionedModelThroughputInput) ([]string, error) {
	m, err := s.provisionable(c, "modelId", in.ModelId)
	name, err := modelARN(c, in.ModelId, &m, err)
	if err != nil {
		return nil, err
	}
	tagOnCreate(c, in.Tags, arn.Bedrock(c.Region, c.Principal.Account, "provisioned-model", "*"))
	return []string{name}, nil
}

// provisionable finds the model that a throughput may serve. Every model of the
// catalogue may be provisioned; custom models are not made here.
func (s *Service) provisionable(c *call.Call, field string, id *string) (catalog.Model, error) {
	if id == nil {
		return catalog.Model{}, apierr.Validation("%s: required", field)
	}
	m, err := arn.ParseModel(*id)
	switch {
	case err != nil:
		return catalog.Model{}, apierr.Validation("%s: want the id or the ARN of a foundation model", field)
	case m.Kind == arn.KindCustomModel:
		return catalog.Model{}, apierr.NotFound("%s: the custom model %s does not exist", field, m.ID)
	case m.Kind != arn.KindFoundationModel:
		return catalog.Model{}, apierr.Validation("%s: want the id or the ARN of a foundation model, not of a %s", field, m.Kind)
	case m.IsARN() && m.ARN.Region != c.Region:
		return catalog.Model{}, apierr.Validation("%s: the ARN is of region %s, the request of region %s", field, m.ARN.Region, c.Region)
	}
	return s.cfg.Catalog.Get(m.ID, c.Region)
}

func (s *Service) createThroughput(ctx context.Context, c *call.Call, in *br.CreateProvisionedModelThroughputInput) (*br.CreateProvisionedModelThroughputOutput, error) {
	m, err := s.provisionable(c, "modelId", in.ModelId)
	if err != nil {
		return nil, err
	}
	tags, err := resource.ReadTags(tagsOf(in.Tags))
	if err != nil {
		return nil, tagError(err)
	}
	t := provision.Throughput{
		Account: c.Principal.Account, Region: c.Region, ID: cmp.Or(c.TokenID, profile.NewID()),
		Name: text(in.ProvisionedModelName), Units: int(*in.ModelUnits), Model: m.ID, Commitment: provision.Commitment(text(in.CommitmentDuration)),
	}
	name := t.ARN()
	s.creating.Lock()
	defer s.creating.Unlock()
	if old, err := s.cfg.Throughputs.Get(t.Account, t.Region, t.ID); err == nil && old.Name == t.Name { // a repeated call
		return &br.CreateProvisionedModelThroughputOutput{ProvisionedModelArn: new(name)}, nil
	}
	// The tags come first, so that no decision sees it without them.
	if err := s.cfg.Resources.Create(ctx, name, tags); err != nil {
		return nil, fmt.Errorf("keep the tags of provisioned throughput: %w", err)
	}
	if _, err := s.cfg.Throughputs.Create(ctx, t); err != nil {
		return nil, errors.Join(s.throughputError(err, t.Name), s.cfg.Resources.Forget(ctx, name))
	}
	return &br.CreateProvisionedModelThroughputOutput{ProvisionedModelArn: new(name)}, nil
}

// throughputError turns an error of the book into the one that the API models.
func (s *Service) throughputError(err error, id string) error {
	switch {
	case errors.Is(err, provision.ErrNone):
		return noThroughput(id)
	case errors.Is(err, provision.ErrName):
		return apierr.Validation("provisionedModelName: the account has provisioned throughput of that name in this region already")
	case errors.Is(err, provision.ErrUnits):
		return apierr.QuotaExceeded("modelUnits: an account may have %d model units of provisioned throughput in a region, and %d provisioned throughputs", s.cfg.Throughputs.Units(), provision.MaxPerRegion)
	case errors.Is(err, provision.ErrBusy):
		return apierr.Validation("provisionedModelId: %s is not in service", id)
	case errors.Is(err, provision.ErrCommitted):
		return apierr.Conflict("The provisioned throughput %s cannot be deleted before the end of its commitment.", id)
	}
	return err
}

func noThroughput(id string) error {
	return apierr.NotFound("The provisioned model %s does not exist in this account and region.", id)
}

func getThroughputID(in *br.GetProvisionedModelThroughputInput) *string {
	return in.ProvisionedModelId
}

func deleteThroughputID(in *br.DeleteProvisionedModelThroughputInput) *string {
	return in.ProvisionedModelId
}

// throughputResource is the ARN of the throughput that an input names. A name that
// nobody has stands in the place of the id; and in a refusal every name does, so that
// nobody learns from it which there are.
func throughputResource[In any](s *Service, id func(*In) *string) func(context.Context, *call.Call, *In) ([]string, error) {
	return func(_ context.Context, c *call.Call, in *In) ([]string, error) {
		name, err := throughputID(c, id(in))
		if err != nil {
			return nil, err
		}
		named := arn.Bedrock(c.Region, c.Principal.Account, "provisioned-model", name)
		t, err := s.cfg.Throughputs.Get(c.Principal.Account, c.Region, name)
		if err != nil { // told to those who may know
			return []string{named}, nil //nolint:nilerr // the handler looks again
		}
		c.Says(t.ARN(), named)
		return []string{t.ARN()}, nil
	}
}

// throughputID reads the ARN, id or name of a throughput. The result is an id or a
// name of the caller's account and the request's region.
func throughputID(c *call.Call, id *string) (string, error) {
	if id == nil {
		return "", apierr.Validation("provisionedModelId: required")
	}
	if !strings.HasPrefix(*id, "arn:") {
		return *id, nil
	}
	m, err := arn.ParseModel(*id)
	switch {
	case err != nil || m.Kind != arn.KindProvisionedModel:
		return "", apierr.Validation("provisionedModelId: want the name or the ARN of provisioned throughput")
	case m.ARN.Region != c.Region || m.ARN.Account != c.Principal.Account:
		return "", noThroughput(*id)
	}
	return m.ID, nil
}

// throughput finds the one that an input names.
func (s *Service) throughput(c *call.Call, id *string) (provision.Throughput, error) {
	name, err := throughputID(c, id)
	if err != nil {
		return provision.Throughput{}, err
	}
	t, err := s.cfg.Throughputs.Get(c.Principal.Account, c.Region, name)
	if err != nil {
		return t, s.throughputError(err, *id)
	}
	return t, nil
}

func (s *Service) getThroughput(_ context.Context, c *call.Call, in *br.GetProvisionedModelThroughputInput) (*br.GetProvisionedModelThroughputOutput, error) {
	t, err := s.throughput(c, in.ProvisionedModelId)
	if err != nil {
		return nil, err
	}
	sum := throughputSummary(&t)
	out := &br.GetProvisionedModelThroughputOutput{
		ModelUnits: sum.ModelUnits, DesiredModelUnits: sum.DesiredModelUnits,
		ProvisionedModelName: sum.ProvisionedModelName, ProvisionedModelArn: sum.ProvisionedModelArn,
		ModelArn: sum.ModelArn, DesiredModelArn: sum.DesiredModelArn, FoundationModelArn: sum.FoundationModelArn,
		Status: sum.Status, CreationTime: sum.CreationTime, LastModifiedTime: sum.LastModifiedTime,
		CommitmentDuration: sum.CommitmentDuration, CommitmentExpirationTime: sum.CommitmentExpirationTime,
	}
	if t.Failure != "" {
		out.FailureMessage = new(t.Failure)
	}
	return out, nil
}

func throughputSummary(t *provision.Throughput) br.ProvisionedModelSummary {
	model := arn.FoundationModel(t.Region, t.Model)
	out := br.ProvisionedModelSummary{
		ProvisionedModelName: new(t.Name), ProvisionedModelArn: new(t.ARN()),
		ModelArn: new(model), DesiredModelArn: new(arn.FoundationModel(t.Region, t.Desired)), FoundationModelArn: new(model),
		ModelUnits: new(int32(t.Units)), DesiredModelUnits: new(int32(t.Units)), // #nosec G115 -- it came as one
		Status:       new(br.ProvisionedModelStatus(t.Status)),
		CreationTime: new(t.Created), LastModifiedTime: new(t.Updated),
		CommitmentExpirationTime: date(t.Expires),
	}
	if t.Commitment != provision.Hourly {
		out.CommitmentDuration = new(br.CommitmentDuration(t.Commitment))
	}
	return out
}

func (s *Service) updateThroughputResources(ctx context.Context, c *call.Call, in *br.UpdateProvisionedModelThroughputInput) ([]string, error) {
	names, err := throughputResource(s, func(in *br.UpdateProvisionedModelThroughputInput) *string { return in.ProvisionedModelId })(ctx, c, in)
	if err != nil || in.DesiredModelId == nil {
		return names, err
	}
	m, err := s.provisionable(c, "desiredModelId", in.DesiredModelId)
	name, err := modelARN(c, in.DesiredModelId, &m, err)
	if err != nil {
		return nil, err
	}
	return append(names, name), nil
}

func (s *Service) updateThroughput(ctx context.Context, c *call.Call, in *br.UpdateProvisionedModelThroughputInput) (*br.UpdateProvisionedModelThroughputOutput, error) {
	t, err := s.throughput(c, in.ProvisionedModelId)
	if err != nil {
		return nil, err
	}
	name, model := text(in.DesiredProvisionedModelName), ""
	if in.DesiredModelId != nil {
		m, err := s.provisionable(c, "desiredModelId", in.DesiredModelId)
		if err != nil {
			return nil, err
		}
		if old, err := s.cfg.Catalog.Get(t.Model, c.Region); err != nil || old.Provider != m.Provider || old.Embedding() != m.Embedding() {
			return nil, apierr.Validation("desiredModelId: %s is not of the same kind as %s", m.ID, t.Model)
		}
		model = m.ID
	}
	if name == "" && model == "" {
		return nil, apierr.Validation("desiredProvisionedModelName, desiredModelId: want at least one of them")
	}
	if err := s.cfg.Throughputs.Update(ctx, t.Account, t.Region, t.ID, name, model); err != nil {
		return nil, s.throughputError(err, *in.ProvisionedModelId)
	}
	return &br.UpdateProvisionedModelThroughputOutput{}, nil
}

func (s *Service) deleteThroughput(ctx context.Context, c *call.Call, in *br.DeleteProvisionedModelThroughputInput) (*br.DeleteProvisionedModelThroughputOutput, error) {
	t, err := s.throughput(c, in.ProvisionedModelId)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Throughputs.Delete(ctx, t.Account, t.Region, t.ID); err != nil {
		return nil, s.throughputError(err, *in.ProvisionedModelId)
	}
	if err := s.cfg.Resources.Forget(ctx, t.ARN()); err != nil {
		return nil, fmt.Errorf("forget the tags of provisioned throughput: %w", err)
	}
	return &br.DeleteProvisionedModelThroughputOutput{}, nil
}

// listThroughputs lists the newest first unless it is asked otherwise. Of times, the
// bounds themselves are left out.
func (s *Service) listThroughputs(_ context.Context, c *call.Call, in *br.ListProvisionedModelThroughputsInput) (*br.ListProvisionedModelThroughputsOutput, error) {
	size := defaultPage
	if in.MaxResults != nil {
		size = int(*in.MaxResults)
	}
	list := listKey(in)
	after, err := readSpot(c, list, text(in.NextToken))
	if err != nil {
		return nil, err
	}
	all := s.cfg.Throughputs.List(c.Principal.Account, c.Region)
	up := text(in.SortOrder) == string(br.SortOrderAscending)
	if !up {
		slices.Reverse(all)
	}
	out := &br.ListProvisionedModelThroughputsOutput{ProvisionedModelSummaries: []br.ProvisionedModelSummary{}}
	var last *provision.Throughput
	for i := range all {
		t := &all[i]
		if !listed(in, t) || after != nil && !behind(t, after, up) {
			continue
		}
		if len(out.ProvisionedModelSummaries) == size {
			out.NextToken = new(page.Token(listOf(c, list), page.Moment(last.Created, last.ID)))
			break
		}
		out.ProvisionedModelSummaries = append(out.ProvisionedModelSummaries, throughputSummary(t))
		last = t
	}
	return out, nil
}

// listed reports whether a list that was asked for holds t.
func listed(in *br.ListProvisionedModelThroughputsInput, t *provision.Throughput) bool {
	model := arn.FoundationModel(t.Region, t.Model)
	switch {
	case in.CreationTimeAfter != nil && !t.Created.After(*in.CreationTimeAfter),
		in.CreationTimeBefore != nil && !t.Created.Before(*in.CreationTimeBefore),
		in.StatusEquals != nil && string(*in.StatusEquals) != string(t.Status),
		in.ModelArnEquals != nil && *in.ModelArnEquals != model,
		in.NameContains != nil && !strings.Contains(strings.ToLower(t.Name), strings.ToLower(*in.NameContains)):
		return false
	}
	return true
}

// listKey stands for all that a list was asked for.
func listKey(in *br.ListProvisionedModelThroughputsInput) string {
	var after, before int64
	if in.CreationTimeAfter != nil {
		after = in.CreationTimeAfter.UnixMilli()
	}
	if in.CreationTimeBefore != nil {
		before = in.CreationTimeBefore.UnixMilli()
	}
	return fmt.Sprintf("provisioned %d %d %q %q %q %q", after, before, text(in.StatusEquals), text(in.ModelArnEquals), text(in.NameContains), text(in.SortOrder))
}

// spot is a place in a list of throughputs: right behind one of them, which may be
// gone by now.
type spot struct {
	created int64 // Unix milliseconds
	id      string
}

func behind(t *provision.Throughput, at *spot, up bool) bool {
	d := cmp.Or(cmp.Compare(t.Created.UnixMilli(), at.created), strings.Compare(t.ID, at.id))
	return up && d > 0 || !up && d < 0
}

func readSpot(c *call.Call, list, token string) (*spot, error) {
	if token == "" {
		return nil, nil
	}
	place, err := page.Place(listOf(c, list), token)
	if err != nil {
		return nil, badToken()
	}
	made, id, err := page.ReadMoment(place)
	if err != nil {
		return nil, badToken()
	}
	return &spot{created: made.UnixMilli(), id: id}, nil
}
