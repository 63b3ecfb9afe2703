package bedrock

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/record"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
)

// Resources keeps the tags and the policies of resources. resource.Book implements
// it.
type Resources interface {
	// Exists reports whether a resource is there that callers make; known is false
	// for other types.
	Exists(ctx context.Context, arn string) (there, known bool, err error)
	Tags(arn string) map[string]string
	// Create keeps the tags of a resource that is about to be made; Forget drops
	// what is known of one that is gone.
	Create(ctx context.Context, arn string, tags map[string]string) error
	Forget(ctx context.Context, arn string) error
	Tag(ctx context.Context, arn string, tags map[string]string) error
	Untag(ctx context.Context, arn string, keys []string) error
	Policy(arn, caller string) (string, error)
	PutPolicy(ctx context.Context, arn, caller, text string) error
	DeletePolicy(ctx context.Context, arn, caller string) error
}

func tagsOf(in []br.Tag) []resource.Tag {
	out := make([]resource.Tag, len(in))
	for i, t := range in {
		out[i] = resource.Tag{Key: text(t.Key), Value: text(t.Value)}
	}
	return out
}

// tagOnCreate asks for the permission to tag what a call makes, when it does: all
// of it is decided before anything is made.
func tagOnCreate(c *call.Call, tags []br.Tag, resources string) {
	if len(tags) == 0 {
		return
	}
	resource.Requested(c, tagsOf(tags))
	c.Need("bedrock:TagResource", resources)
}

// tagError turns an error of the book into the one that the API models.
func tagError(err error) error {
	switch {
	case errors.Is(err, resource.ErrTooManyTags):
		return apierr.New("TooManyTagsException", http.StatusBadRequest, "tags: a resource may have at most %d", resource.MaxTags)
	case errors.Is(err, record.ErrConflict):
		return apierr.Conflict("The tags or the policy of the resource are being changed by others. Try again.").WithCause(err)
	}
	return err
}

func (s *Service) tagResources(_ context.Context, c *call.Call, in *br.TagResourceInput) ([]string, error) {
	resource.Requested(c, tagsOf(in.Tags))
	return taggable(c, in.ResourceARN)
}

func (s *Service) untagResources(_ context.Context, c *call.Call, in *br.UntagResourceInput) ([]string, error) {
	if len(in.TagKeys) > 0 {
		c.SetKey("aws:tagkeys", in.TagKeys...)
	}
	return taggable(c, in.ResourceARN)
}

func (s *Service) listTagsResources(_ context.Context, c *call.Call, in *br.ListTagsForResourceInput) ([]string, error) {
	return taggable(c, in.ResourceARN)
}

// taggable is the ARN that a caller wrote; a bare word is the name of a provisioned
// model.
func taggable(c *call.Call, id *string) ([]string, error) {
	switch {
	case id == nil:
		return nil, apierr.Validation("resourceARN: required")
	case !strings.HasPrefix(*id, "arn:"):
		return []string{arn.Bedrock(c.Region, c.Principal.Account, "provisioned-model", *id)}, nil
	}
	if _, err := arn.Parse(*id); err != nil {
		return nil, apierr.Validation("resourceARN: want the ARN of a Bedrock resource")
	}
	return []string{*id}, nil
}

// there checks that a resource exists whose tags may be asked for.
func (s *Service) there(ctx context.Context, c *call.Call, id *string) (string, error) {
	names, err := taggable(c, id)
	if err != nil {
		return "", err
	}
	a, err := arn.Parse(names[0])
	if err != nil || a.Region != c.Region {
		return "", noResource(*id)
	}
	if kind, _ := a.Split(); kind == "inference-profile" {
		return "", apierr.Validation("resourceARN: %s is a system-defined inference profile; only application inference profiles can have tags", *id)
	}
	there, _, err := s.cfg.Resources.Exists(ctx, names[0])
	if err != nil {
		return "", fmt.Errorf("look for a resource: %w", err)
	}
	if !there {
		return "", noResource(*id)
	}
	return names[0], nil
}

func noResource(id string) error {
	return apierr.NotFound("The resource %s does not exist in this region.", id)
}

func (s *Service) tag(ctx context.Context, c *call.Call, in *br.TagResourceInput) (*br.TagResourceOutput, error) {
	name, err := s.there(ctx, c, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	tags, err := resource.ReadTags(tagsOf(in.Tags))
	if err == nil {
		err = s.cfg.Resources.Tag(ctx, name, tags)
	}
	if err != nil {
		return nil, tagError(err)
	}
	return &br.TagResourceOutput{}, nil
}

func (s *Service) untag(ctx context.Context, c *call.Call, in *br.UntagResourceInput) (*br.UntagResourceOutput, error) {
	name, err := s.there(ctx, c, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Resources.Untag(ctx, name, in.TagKeys); err != nil {
		return nil, tagError(err)
	}
	return &br.UntagResourceOutput{}, nil
}

// listTags returns tags by key.
func (s *Service) listTags(ctx context.Context, c *call.Call, in *br.ListTagsForResourceInput) (*br.ListTagsForResourceOutput, error) {
	name, err := s.there(ctx, c, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	tags := s.cfg.Resources.Tags(name)
	out := &br.ListTagsForResourceOutput{Tags: make([]br.Tag, 0, len(tags))}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out.Tags = append(out.Tags, br.Tag{Key: new(k), Value: new(tags[k])})
	}
	return out, nil
}
