package awsapi_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/awsapi/accessanalyzer"
	"github.com/outcrop/outcrop/internal/wire/awsapi/actions"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
	"github.com/outcrop/outcrop/internal/wire/awsapi/iam"
	"github.com/outcrop/outcrop/internal/wire/awsapi/organizations"
	"github.com/outcrop/outcrop/internal/wire/awsapi/outcrop"
	"github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

// Facts of identity and access that handlers and analyses rest on.
func TestIdentityFacts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		op        *awsapi.Operation
		access    awsapi.Access
		resources []string
		void      bool
	}{
		{iam.OpGetRole.Operation, awsapi.AccessRead, []string{"role"}, false},
		{iam.OpDeleteUser.Operation, awsapi.AccessWrite, []string{"user"}, true},
		{iam.OpUpdateRole.Operation, awsapi.AccessWrite, []string{"role"}, false},
		{iam.OpAttachUserPolicy.Operation, awsapi.AccessPermissions, []string{"user"}, true},
		{iam.OpTagRole.Operation, awsapi.AccessTagging, []string{"role"}, true},
		{iam.OpListUsers.Operation, awsapi.AccessList, nil, false},
		{sts.OpAssumeRole.Operation, awsapi.AccessWrite, []string{"role"}, false},
		{sts.OpGetCallerIdentity.Operation, awsapi.AccessRead, nil, false},
		{organizations.OpDeleteOrganization.Operation, awsapi.AccessWrite, nil, true},
		{accessanalyzer.OpListFindingsV2.Operation, awsapi.AccessRead, []string{"Analyzer"}, false},
		{bedrockruntime.OpApplyGuardrail.Operation, awsapi.AccessRead, []string{"guardrail", "guardrail-profile"}, false},
	} {
		if c.op.Access != c.access || !slices.Equal(c.op.Resources, c.resources) || c.op.Void != c.void {
			t.Errorf("%s: %v on %v, void %t", c.op.Name, c.op.Access, c.op.Resources, c.op.Void)
		}
	}
	if a := accessanalyzer.OpGetFindingV2.Operation.Action; a != "access-analyzer:GetFinding" {
		t.Error(a)
	}
}

// An operation and its action agree, and few are newer than the table of actions.
func TestOperationsHaveActions(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, s *awsapi.Service) {
		if s == &outcrop.Model {
			return // AWS does not know it
		}
		unknown := 0
		for i := range s.Operations {
			op := &s.Operations[i]
			p, a := actions.Find(op.Action)
			if p == nil {
				t.Errorf("%s: no table for %s", op.Name, op.Action)
				continue
			}
			if a == nil {
				unknown++
				if op.Access != awsapi.AccessUnknown {
					t.Errorf("%s: %v without an action", op.Name, op.Access)
				}
				continue
			}
			if a.Access != op.Access || !strings.HasSuffix(op.Action, ":"+a.Name) {
				t.Errorf("%s: %v, its action %s has %v", op.Name, op.Access, a.Name, a.Access)
			}
			for _, r := range op.Resources {
				if p.Resource(r) == nil {
					t.Errorf("%s: unknown resource type %s", op.Name, r)
				}
			}
		}
		if unknown > 11 {
			t.Errorf("%d of %d operations have no action", unknown, len(s.Operations))
		}
	})
}

func TestAccessNames(t *testing.T) {
	t.Parallel()
	var got []string
	for a := awsapi.AccessUnknown; a <= awsapi.AccessPermissions; a++ {
		got = append(got, a.String())
	}
	if s := strings.Join(got, ","); s != ",List,Read,Write,Tagging,Permissions management" {
		t.Error(s)
	}
}

// Policy documents of IAM, and nothing else, go out percent-encoded. Timestamps
// of the JSON protocols name their format.
func TestWireFacts(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, s *awsapi.Service) {
		for i := range s.Shapes {
			sh := &s.Shapes[i]
			if want := s == &iam.Model && sh.Name == "policyDocumentType"; sh.URLEncoded != want {
				t.Errorf("%s: URLEncoded is %t", sh.Name, sh.URLEncoded)
			}
			for _, m := range sh.Members {
				if s.Protocol == "json" && s.Shape(m.Shape).Kind == awsapi.Timestamp && m.TimestampFormat == "" {
					t.Errorf("%s.%s has no format", sh.Name, m.Name)
				}
			}
		}
	})
}

// Patterns of IAM that the models write for other languages.
func TestIdentityPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		shape   string
		yes, no []string
	}{
		{"accountAliasType", []string{"abc", "a-b", "a1-b2-c3"}, []string{"-ab", "ab-", "a--b", "Abc", "a_b"}},
		{"pathType", []string{"/", "/a/", "/a/b!~/"}, []string{"", "a", "/a", "/a b/", "//\x7f/"}},
		{"pathPrefixType", []string{"/", "/a", "/a/\x7f"}, []string{"", "a", "/a b"}},
		{"policyDocumentType", []string{"{\"a\":\n\t1}\r", "\u00ff"}, []string{"", "\u0100", "\x0b"}},
		{"roleDescriptionType", []string{"", "a\nb", "\u00a1\u00ff"}, []string{"\u00a0", "\u007f", "\u0100"}},
		{"userNameType", []string{"a+b=c,d.e@f-g_h"}, []string{"a b", "ä", ""}},
		{"tagKeyType", []string{"team:a b/é"}, []string{"a!", ""}},
	} {
		re := regexp.MustCompile(findShape(t, &iam.Model, c.shape).Regexp())
		for _, s := range c.yes {
			if !re.MatchString(s) {
				t.Errorf("%s refuses %q", c.shape, s)
			}
		}
		for _, s := range c.no {
			if re.MatchString(s) {
				t.Errorf("%s accepts %q", c.shape, s)
			}
		}
	}
}
