package outcrop

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/outcrop"
)

// listTemplates lists the ready roles.
func (s *Service) listTemplates(_ context.Context, c *call.Call, _ *api.ListRoleTemplatesInput) (*api.ListRoleTemplatesOutput, error) {
	out := &api.ListRoleTemplatesOutput{RoleTemplates: []api.RoleTemplate{}}
	for _, t := range identity.RoleTemplates() {
		arn := t.Policies[0]
		v := api.RoleTemplate{TemplateName: &t.Name, PolicyArn: &arn, Description: &t.Persona}
		if p := s.cfg.Directory.Policy(c.Principal.Account, arn); p != nil {
			v.Description = new(t.Persona + ": " + p.Description)
			v.PolicyDocument = new(p.Version(p.Default).Text)
		}
		out.RoleTemplates = append(out.RoleTemplates, v)
	}
	return out, nil
}

// template finds a template by its name, without regard to case.
func template(name string) (identity.RoleTemplate, bool) {
	for _, t := range identity.RoleTemplates() {
		if strings.EqualFold(t.Name, name) {
			return t, true
		}
	}
	return identity.RoleTemplate{}, false
}

// fromTemplate asks for what making the role by IAM would ask for, so that nobody
// gets a role this way who may not make one.
func fromTemplate(_ context.Context, c *call.Call, in *api.CreateRoleFromTemplateInput) ([]string, error) {
	if in.RoleName == nil || in.TemplateName == nil { // validation says so
		return nil, nil
	}
	role := "arn:aws:iam::" + c.Principal.Account + ":role/" + *in.RoleName
	c.Need("iam:CreateRole", role)
	if t, ok := template(*in.TemplateName); ok {
		for _, p := range t.Policies {
			c.Needs = append(c.Needs, call.Need{Action: "iam:AttachRolePolicy", Resources: []string{role}, Keys: map[string][]string{"iam:policyarn": {p}}})
		}
	}
	return []string{role}, nil
}

// createRole makes a role of a template that one principal may assume.
func (s *Service) createRole(ctx context.Context, c *call.Call, in *api.CreateRoleFromTemplateInput) (*api.CreateRoleFromTemplateOutput, error) {
	t, ok := template(*in.TemplateName)
	if !ok {
		return nil, apierr.NotFound("templateName: there is no such template; see ListRoleTemplates")
	}
	t.Name = *in.RoleName
	principal, err := json.Marshal(*in.TrustedPrincipal)
	if err != nil {
		return nil, err
	}
	t.Trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":` + string(principal) + `},"Action":"sts:AssumeRole"}]}`
	r, err := s.cfg.Directory.CreateRoleFrom(ctx, c.Principal.Account, t)
	if err != nil {
		return nil, ownError(err)
	}
	return &api.CreateRoleFromTemplateOutput{RoleArn: new(r.ARN()), PolicyArn: &t.Policies[0]}, nil
}

// conflict is the ConflictException of this API.
func conflict(format string, args ...any) error {
	return apierr.New(apierr.CodeConflict, http.StatusConflict, format, args...)
}

// ownError turns an error of IAM into one that this API has.
func ownError(err error) error {
	e := apierr.From(err)
	switch e.Code {
	case "EntityAlreadyExists":
		return conflict("roleName: %s", e.Message)
	case "MalformedPolicyDocument":
		return apierr.Validation("trustedPrincipal: %s", e.Message)
	case "NoSuchEntity":
		return apierr.NotFound("%s", e.Message)
	case "ValidationError", "InvalidInput", "LimitExceeded":
		return apierr.Validation("%s", e.Message)
	}
	return err
}
