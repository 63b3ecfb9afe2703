package analyze_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/access/policy/policytest"
	"github.com/outcrop/outcrop/internal/analyze"
)

func document(t testing.TB, kind policy.Kind, statements ...string) *policy.Document {
	t.Helper()
	d, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{`+strings.Join(statements, "},{")+`}]}`), kind)
	must(t, err)
	return d
}

func TestNewAccess(t *testing.T) {
	t.Parallel()
	st := func(effect, action, resource string) string {
		return `"Effect":"` + effect + `","Action":` + action + `,"Resource":` + resource
	}
	const mfa = `,"Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}`
	get := st("Allow", `"bedrock:Get*"`, `"*"`)
	for name, c := range map[string]struct {
		old, changed string // statements, "|" between them
		gains        bool
	}{
		"the same":                  {get, get, false},
		"another case":              {get, st("Allow", `"BEDROCK:get*"`, `"*"`), false},
		"less of it":                {get, st("Allow", `"bedrock:GetGuardrail"`, `"arn:aws:bedrock:*:*:guardrail/x"`), false},
		"more actions":              {get, st("Allow", `"bedrock:*"`, `"*"`), true},
		"one more action":           {get, st("Allow", `["bedrock:GetX","bedrock:InvokeModel"]`, `"*"`), true},
		"more resources":            {st("Allow", `"bedrock:Get*"`, `"arn:aws:bedrock:*:*:guardrail/*"`), get, true},
		"less by a condition":       {get, get + mfa, false},
		"more without a condition":  {get + mfa, get, true},
		"from two statements":       {get + "|" + st("Allow", `"bedrock:List*"`, `"*"`), st("Allow", `["bedrock:GetX","bedrock:ListY"]`, `"*"`), false},
		"without a deny":            {get + "|" + st("Deny", `"bedrock:GetX"`, `"*"`), get, true},
		"with a wider deny":         {get + "|" + st("Deny", `"bedrock:GetX"`, `"*"`), get + "|" + st("Deny", `"bedrock:Get?"`, `"*"`), false},
		"with a narrower deny":      {get + "|" + st("Deny", `"bedrock:Get?"`, `"*"`), get + "|" + st("Deny", `"bedrock:GetX"`, `"*"`), true},
		"with a deny at times":      {get + "|" + st("Deny", `"bedrock:GetX"`, `"*"`), get + "|" + st("Deny", `"bedrock:GetX"`, `"*"`) + mfa, true},
		"allowed and denied":        {get, st("Allow", `"iam:GetUser"`, `"*"`) + "|" + st("Deny", `"iam:*"`, `"*"`), false},
		"allowed, denied in part":   {get, st("Allow", `"iam:GetUser"`, `"*"`) + "|" + st("Deny", `"iam:*"`, `"arn:aws:iam::1:user/*"`), true},
		"everything but":            {`"Effect":"Allow","NotAction":"iam:*","Resource":"*"`, get, false},
		"what everything but lacks": {`"Effect":"Allow","NotAction":"iam:*","Resource":"*"`, st("Allow", `"iam:GetUser"`, `"*"`), true},
		"and may lack":              {`"Effect":"Allow","NotAction":"iam:Get*","Resource":"*"`, st("Allow", `"iam:*User"`, `"*"`), true},
		"everything but more":       {`"Effect":"Allow","NotAction":"iam:*","Resource":"*"`, `"Effect":"Allow","NotAction":["iam:*","sts:*"],"Resource":"*"`, false},
		"everything but less":       {`"Effect":"Allow","NotAction":["iam:*","sts:*"],"Resource":"*"`, `"Effect":"Allow","NotAction":"iam:*","Resource":"*"`, true},
		"not some resources":        {`"Effect":"Allow","Action":"bedrock:*","NotResource":"arn:aws:bedrock:us-east-1:1:guardrail/*"`, st("Allow", `"bedrock:GetX"`, `"arn:aws:bedrock:us-east-1:2:prompt/*"`), false},
		"not some by variables":     {`"Effect":"Allow","Action":"bedrock:*","NotResource":"arn:aws:bedrock:*:*:guardrail/${aws:username}"`, st("Allow", `"bedrock:GetX"`, `"arn:aws:bedrock:*:*:guardrail/ana"`), true},
		"fewer values":              {get + `,"Condition":{"StringEquals":{"aws:RequestedRegion":["a","b"]}}`, get + `,"Condition":{"StringEquals":{"aws:RequestedRegion":"a"}}`, false},
		"more values":               {get + `,"Condition":{"StringEquals":{"aws:RequestedRegion":"a"}}`, get + `,"Condition":{"StringEquals":{"aws:RequestedRegion":["a","b"]}}`, true},
		"fewer values that are not": {get + `,"Condition":{"StringNotEquals":{"aws:RequestedRegion":["a","b"]}}`, get + `,"Condition":{"StringNotEquals":{"aws:RequestedRegion":"a"}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old, changed := document(t, policy.Identity, strings.Split(c.old, "|")...), document(t, policy.Identity, strings.Split(c.changed, "|")...)
			got := analyze.NewAccess(old, changed)
			if (len(got) > 0) != c.gains {
				t.Errorf("found %+v", got)
			}
			for _, r := range got {
				if r.Text == "" || r.Statement >= len(changed.Statements()) {
					t.Errorf("reason %+v", r)
				}
			}
		})
	}
}

func TestNewAccessOfPrincipals(t *testing.T) {
	t.Parallel()
	let := func(p string) *policy.Document {
		return document(t, policy.Trust, `"Effect":"Allow","Principal":`+p+`,"Action":"sts:AssumeRole"`)
	}
	for name, c := range map[string]struct {
		old, changed string
		gains        bool
	}{
		"the same":            {`{"AWS":"111122223333"}`, `{"AWS":"111122223333"}`, false},
		"a role of it":        {`{"AWS":"arn:aws:iam::111122223333:root"}`, `{"AWS":"arn:aws:iam::111122223333:role/x"}`, false},
		"all of it":           {`{"AWS":"arn:aws:iam::111122223333:role/x"}`, `{"AWS":"111122223333"}`, true},
		"everybody":           {`{"AWS":"111122223333"}`, `"*"`, true},
		"of everybody":        {`"*"`, `{"AWS":"111122223333","Service":"bedrock.amazonaws.com"}`, false},
		"a service":           {`{"AWS":"111122223333"}`, `{"Service":"bedrock.amazonaws.com"}`, true},
		"one service of two":  {`{"Service":["a.amazonaws.com","b.amazonaws.com"]}`, `{"Service":"b.amazonaws.com"}`, false},
		"an issuer":           {`{"Federated":"a.example.com"}`, `{"Federated":"b.example.com"}`, true},
		"everybody as before": {`{"AWS":"*"}`, `"*"`, false},
	} {
		if got := analyze.NewAccess(let(c.old), let(c.changed)); (len(got) > 0) != c.gains {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestGranted(t *testing.T) {
	t.Parallel()
	const guardrail = "arn:aws:bedrock:us-east-1:111122223333:guardrail/x"
	for name, c := range map[string]struct {
		policy  string
		access  analyze.Access
		granted bool
	}{
		"the action":            {`"Effect":"Allow","Action":"bedrock:Get*","Resource":"*"`, analyze.Access{Actions: []string{"bedrock:GetGuardrail"}}, true},
		"one of the actions":    {`"Effect":"Allow","Action":"bedrock:Get*","Resource":"*"`, analyze.Access{Actions: []string{"iam:GetUser", "bedrock:GetGuardrail"}}, true},
		"a part of it":          {`"Effect":"Allow","Action":"bedrock:GetGuardrail","Resource":"*"`, analyze.Access{Actions: []string{"bedrock:*"}}, true},
		"another action":        {`"Effect":"Allow","Action":"bedrock:Get*","Resource":"*"`, analyze.Access{Actions: []string{"bedrock:InvokeModel"}}, false},
		"the resource":          {`"Effect":"Allow","Action":"bedrock:Get*","Resource":"arn:aws:bedrock:*:*:guardrail/*"`, analyze.Access{Resources: []string{guardrail}}, true},
		"another resource":      {`"Effect":"Allow","Action":"bedrock:Get*","Resource":"arn:aws:bedrock:*:*:prompt/*"`, analyze.Access{Resources: []string{guardrail}}, false},
		"another of both":       {`"Effect":"Allow","Action":"bedrock:Get*","Resource":"*"`, analyze.Access{Actions: []string{"iam:*"}, Resources: []string{guardrail}}, false},
		"by a variable":         {`"Effect":"Allow","Action":"bedrock:Get*","Resource":"arn:aws:bedrock:*:*:guardrail/${aws:username}"`, analyze.Access{Resources: []string{guardrail}}, true},
		"under a condition":     {`"Effect":"Allow","Action":"bedrock:Get*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}`, analyze.Access{Actions: []string{"bedrock:GetX"}}, true},
		"everything but it":     {`"Effect":"Allow","NotAction":"bedrock:*","Resource":"*"`, analyze.Access{Actions: []string{"bedrock:GetX"}}, false},
		"everything but others": {`"Effect":"Allow","NotAction":"iam:*","Resource":"*"`, analyze.Access{Actions: []string{"bedrock:GetX"}}, true},
		"denied":                {`"Effect":"Deny","Action":"bedrock:*","Resource":"*"`, analyze.Access{Actions: []string{"bedrock:GetX"}}, false},
		"allowed and denied":    {`"Effect":"Allow","Action":"*","Resource":"*"|"Effect":"Deny","Action":"bedrock:*","Resource":"*"`, analyze.Access{Actions: []string{"bedrock:GetX"}}, false},
		"denied in part":        {`"Effect":"Allow","Action":"*","Resource":"*"|"Effect":"Deny","Action":"bedrock:*","Resource":"arn:aws:bedrock:*:*:prompt/*"`, analyze.Access{Actions: []string{"bedrock:GetX"}}, true},
		"denied at times":       {`"Effect":"Allow","Action":"*","Resource":"*"|"Effect":"Deny","Action":"bedrock:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}`, analyze.Access{Actions: []string{"bedrock:GetX"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := analyze.Granted(document(t, policy.Identity, strings.Split(c.policy, "|")...), c.access)
			if (len(got) > 0) != c.granted {
				t.Errorf("found %+v", got)
			}
		})
	}
}

func TestPublicAccess(t *testing.T) {
	t.Parallel()
	for statement, public := range map[string]bool{
		`"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"`:                                                                                                                          true,
		`"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"`:                                                                                                                  true,
		`"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"`:                                                                                                       false,
		`"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"`:                                                                                                                           false,
		`"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"}}`:                                                       false,
		`"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:SourceVpce":"vpce-1"}}`:                                                                 false,
		`"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"x"}}`:                                                                      true,
		`"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"},{"Effect":"Deny","Principal":"*","Action":"sts:*","Condition":{"StringNotEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"}}`: false,
	} {
		if got := analyze.PublicAccess(document(t, policy.Trust, statement)); (len(got) > 0) != public {
			t.Errorf("%s: %+v", statement, got)
		}
	}
}

// TestSound checks on random policies that what is found to be safe is safe: a
// policy without new access allows no request that the old one does not, and what
// is not granted is not allowed.
func TestSound(t *testing.T) {
	t.Parallel()
	passed, allowedNow := 0, 0
	for seed := range uint64(1500) {
		m := policytest.NewMaker(seed, policytest.Everything)
		kind := []policy.Kind{policy.Identity, policy.Resource}[seed%2]
		made := func() *policy.Document {
			d, err := policy.Parse(m.Policy(kind), kind)
			must(t, err)
			return d
		}
		old, changed := made(), made()
		if seed%4 < 2 { // both, so that much stays the same
			text, err := json.Marshal(map[string]any{"Version": old.Version(), "Statement": append(statementsOf(t, old), statementsOf(t, changed)...)})
			must(t, err)
			if both, err := policy.Parse(text, kind); err == nil {
				old = both
			}
		}
		gains := analyze.NewAccess(old, changed)
		if len(gains) == 0 {
			passed++
		}
		for range 30 {
			r := m.Request(m.Principal())
			now := changed.Evaluate(&r).Effect == policy.Allow
			if !now {
				continue
			}
			allowedNow++
			if len(gains) == 0 && old.Version() == changed.Version() && old.Evaluate(&r).Effect != policy.Allow {
				t.Errorf("seed %d: %s on %s is new in %s, but was not found; before %s", seed, r.Action, r.Resource, changed.Text(), old.Text())
			}
			if len(analyze.Granted(changed, analyze.Access{Actions: []string{r.Action}, Resources: []string{r.Resource}})) == 0 {
				t.Errorf("seed %d: %s on %s is allowed by %s, but was not found", seed, r.Action, r.Resource, changed.Text())
			}
		}
	}
	t.Logf("%d of 1500 pairs without new access, %d requests allowed", passed, allowedNow)
	if passed < 100 || allowedNow < 1000 {
		t.Errorf("only %d pairs without new access, and %d requests allowed", passed, allowedNow)
	}
}

// statementsOf are the statements of a document as JSON.
func statementsOf(t *testing.T, d *policy.Document) []any {
	t.Helper()
	var v struct{ Statement []any }
	must(t, json.Unmarshal(d.Print(), &v))
	return v.Statement
}
