package identity

import (
	"context"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/access/policy"
)

// ControlPolicy returns a service control policy, or nil.
func (d *Directory) ControlPolicy(id string) *ControlPolicy {
	return treeOf(d.state.Load()).policies[id]
}

// ControlPolicies returns all service control policies, by id.
func (d *Directory) ControlPolicies() []*ControlPolicy {
	return treeOf(d.state.Load()).allPolicies()
}

// PolicyARN names a service control policy. AWS's own belongs to no organisation.
func (o *Organization) PolicyARN(p *ControlPolicy) string {
	if p.AWSManaged() {
		return "arn:aws:organizations::aws:policy/service_control_policy/" + p.ID
	}
	return "arn:aws:organizations::" + o.Management + ":policy/" + o.ID + "/service_control_policy/" + p.ID
}

// UnitARN names an organisational unit.
func (o *Organization) UnitARN(id string) string { return o.arn("ou", id) }

// AccountARN names an account of the organisation.
func (o *Organization) AccountARN(id string) string { return o.arn("account", id) }

// checkControl checks the text of a service control policy.
func checkControl(text string) error {
	if n := policy.Size([]byte(text), policy.ServiceControl); n > policy.MaxSize(policy.ServiceControl) {
		return orgReason(codeOrgConstraint, "POLICY_CONTENT_LIMIT_EXCEEDED", "Content: a service control policy has at most %d characters, got %d", policy.MaxSize(policy.ServiceControl), n)
	}
	if _, err := policy.Parse([]byte(text), policy.ServiceControl); err != nil {
		if e, ok := errors.AsType[*policy.Error](err); ok {
			return orgError(codeOrgMalformed, "The provided policy document does not meet the requirements of the specified policy type: %s", e)
		}
		return err
	}
	return nil
}

func checkOrgDescription(s string) error {
	if utf8.RuneCountInString(s) > 512 {
		return orgReason(codeOrgInvalidInput, "MAX_LENGTH_EXCEEDED", "Description: must have at most 512 characters")
	}
	return nil
}

// CreateControlPolicy makes a service control policy that is attached nowhere.
//
// Errors: MalformedPolicyDocumentException, DuplicatePolicyException,
// ConstraintViolationException for a text over 5120 characters, InvalidInputException.
func (d *Directory) CreateControlPolicy(ctx context.Context, name, description, text string, tags Tags) (*ControlPolicy, error) {
	if err := checkOrgName("Name", name, 128); err != nil {
		return nil, err
	}
	if err := checkOrgDescription(description); err != nil {
		return nil, err
	}
	if err := checkControl(text); err != nil {
		return nil, err
	}
	if err := orgFailure(CheckTags(tags)); err != nil {
		return nil, err
	}
	var made *ControlPolicy
	err := d.orgChange(ctx, func(t *tx, tree orgTree) error {
		if taken(t.state, &controlKind, "", name) != nil {
			return duplicatePolicy()
		}
		if len(tree.policies) >= maxControlPolicies {
			return orgReason(codeOrgConstraint, "POLICY_NUMBER_LIMIT_EXCEEDED", "You have exceeded the number of policies, %d.", maxControlPolicies)
		}
		made = &ControlPolicy{
			ID: "p-" + randomText(lowerDigits, 8), Name: name, Description: description, Text: text,
			Created: d.now().UTC().Truncate(time.Second), Tags: tags,
		}
		return put(t, &controlKind, "", made)
	})
	return made, err
}

func duplicatePolicy() error {
	return orgError(codeOrgDuplicatePolicy, "A policy with this name exists already.")
}

func immutable() error {
	return orgReason(codeOrgInvalidInput, "IMMUTABLE_POLICY", "You specified a policy that is managed by AWS and can't be modified.")
}

func noControlPolicy() error {
	return orgError(codeOrgNoPolicy, "You specified a policy that does not exist.")
}

// ControlPolicyUpdate says what to change of a service control policy; nil stays.
type ControlPolicyUpdate struct {
	Name, Description, Text *string
}

// UpdateControlPolicy changes a service control policy wherever it is attached.
// Errors: as CreateControlPolicy, and PolicyNotFoundException.
func (d *Directory) UpdateControlPolicy(ctx context.Context, id string, u ControlPolicyUpdate) (*ControlPolicy, error) {
	if u.Name != nil {
		if err := checkOrgName("Name", *u.Name, 128); err != nil {
			return nil, err
		}
	}
	if u.Description != nil {
		if err := checkOrgDescription(*u.Description); err != nil {
			return nil, err
		}
	}
	if u.Text != nil {
		if err := checkControl(*u.Text); err != nil {
			return nil, err
		}
	}
	var made *ControlPolicy
	err := d.orgChange(ctx, func(t *tx, tree orgTree) error {
		p := tree.policies[id]
		switch {
		case p == nil:
			return noControlPolicy()
		case p.AWSManaged():
			return immutable()
		}
		c := *p
		if u.Name != nil {
			if other := taken(t.state, &controlKind, "", *u.Name); other != nil && other.ID != id {
				return duplicatePolicy()
			}
			c.Name = *u.Name
		}
		if u.Description != nil {
			c.Description = *u.Description
		}
		if u.Text != nil {
			c.Text = *u.Text
		}
		made = &c
		return put(t, &controlKind, "", made)
	})
	return made, err
}

// DeleteControlPolicy deletes a policy that is attached nowhere. Errors:
// PolicyNotFoundException, PolicyInUseException, InvalidInputException for AWS's own.
func (d *Directory) DeleteControlPolicy(ctx context.Context, id string) error {
	return d.orgChange(ctx, func(t *tx, tree orgTree) error {
		p := tree.policies[id]
		switch {
		case p == nil:
			return noControlPolicy()
		case p.AWSManaged():
			return immutable()
		case len(tree.targets(id)) > 0:
			return orgError(codeOrgPolicyInUse, "The policy is attached to one or more entities. Detach it from all of them first.")
		}
		remove(t, &controlKind, "", p)
		return nil
	})
}

// AttachControlPolicy attaches a policy to a root, unit or account.
//
// Errors: PolicyNotFoundException, TargetNotFoundException,
// DuplicatePolicyAttachmentException, PolicyTypeNotEnabledException,
// ConstraintViolationException beyond 5 policies.
func (d *Directory) AttachControlPolicy(ctx context.Context, policyID, target string) error {
	return d.attachments(ctx, policyID, target, func(have []string) ([]string, error) {
		switch {
		case slices.Contains(have, policyID):
			return nil, orgError(codeOrgDuplicateAttached, "The policy is attached to this target already.")
		case len(have) >= maxControlAttached:
			return nil, orgReason(codeOrgConstraint, "MAX_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED", "You have attached the maximum number of policies of this type, %d, to this target.", maxControlAttached)
		}
		return append(have, policyID), nil
	})
}

// DetachControlPolicy takes a policy from a root, unit or account. Errors:
// PolicyNotFoundException, TargetNotFoundException, PolicyNotAttachedException,
// PolicyTypeNotEnabledException, ConstraintViolationException for the last one.
func (d *Directory) DetachControlPolicy(ctx context.Context, policyID, target string) error {
	return d.attachments(ctx, policyID, target, func(have []string) ([]string, error) {
		switch {
		case !slices.Contains(have, policyID):
			return nil, orgError(codeOrgNotAttached, "The policy isn't attached to the specified target in the specified root.")
		case len(have) == 1:
			return nil, orgReason(codeOrgConstraint, "MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED", "You cannot remove the last policy of this type from a target.")
		}
		return slices.DeleteFunc(have, func(id string) bool { return id == policyID }), nil
	})
}

// attachments changes what is attached to a target. edit may change its argument.
func (d *Directory) attachments(ctx context.Context, policyID, target string, edit func([]string) ([]string, error)) error {
	return d.orgChange(ctx, func(t *tx, tree orgTree) error {
		switch {
		case tree.policies[policyID] == nil:
			return noControlPolicy()
		case !tree.isParent(target) && tree.members[target] == nil:
			return orgError(codeOrgNoTarget, "You specified a target that does not exist.")
		case !tree.org.Control:
			return typeNotEnabled()
		}
		next, err := edit(slices.Clone(tree.attached(target)))
		if err != nil {
			return err
		}
		return tree.edit(t, target, func(attached *[]string, _ *Tags) { *attached = next })
	})
}

func typeNotEnabled() error {
	return orgError(codeOrgTypeNotEnabled, "This operation can be performed only for enabled policy types.")
}

// AttachedControlPolicies returns the policies at a root, unit or account, by id.
// Errors: TargetNotFoundException.
func (d *Directory) AttachedControlPolicies(target string) ([]*ControlPolicy, error) {
	tree := treeOf(d.state.Load())
	if !tree.isParent(target) && tree.members[target] == nil {
		return nil, orgError(codeOrgNoTarget, "You specified a target that does not exist.")
	}
	var out []*ControlPolicy
	for _, id := range slices.Sorted(slices.Values(tree.attached(target))) {
		if p := tree.policies[id]; p != nil {
			out = append(out, p)
		}
	}
	return out, nil
}

// ControlPolicyTargets returns the ids of what a policy is attached to: the root,
// then units, then accounts. Errors: PolicyNotFoundException.
func (d *Directory) ControlPolicyTargets(id string) ([]string, error) {
	tree := treeOf(d.state.Load())
	if tree.policies[id] == nil {
		return nil, noControlPolicy()
	}
	return tree.targets(id), nil
}

// EnableControl enables service control policies and attaches AWS's own
// everywhere, so that nothing is refused yet. Errors: RootNotFoundException,
// PolicyTypeAlreadyEnabledException.
func (d *Directory) EnableControl(ctx context.Context, root string) (*Organization, error) {
	return d.setControl(ctx, root, true)
}

// DisableControl disables service control policies and detaches all of them.
// Errors: RootNotFoundException, PolicyTypeNotEnabledException.
func (d *Directory) DisableControl(ctx context.Context, root string) (*Organization, error) {
	return d.setControl(ctx, root, false)
}

func (d *Directory) setControl(ctx context.Context, root string, on bool) (*Organization, error) {
	var made *Organization
	err := d.orgChange(ctx, func(t *tx, tree orgTree) error {
		switch {
		case root != tree.org.Root:
			return orgError(codeOrgNoRoot, "You specified a root that does not exist.")
		case on && tree.org.Control:
			return orgError(codeOrgTypeEnabled, "The specified policy type is already enabled in the specified root.")
		case !on && !tree.org.Control:
			return typeNotEnabled()
		}
		set := func(attached *[]string, _ *Tags) {
			*attached = nil
			if on {
				*attached = []string{FullAccessPolicy}
			}
		}
		for id := range tree.units {
			if err := tree.edit(t, id, set); err != nil {
				return err
			}
		}
		for id := range tree.members {
			if err := tree.edit(t, id, set); err != nil {
				return err
			}
		}
		c := *tree.org
		set(&c.Attached, nil)
		c.Control, made = on, &c
		return put(t, &orgKind, "", made)
	})
	return made, err
}
