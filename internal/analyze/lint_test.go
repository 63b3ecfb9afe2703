package analyze_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/analyze"
)

// TestLint is a table of policies and the issues that they have, with the text that
// each stands at.
func TestLint(t *testing.T) {
	t.Parallel()
	st := func(s string) string { return `{"Version":"2012-10-17","Statement":[{` + s + `}]}` }
	const ok = `"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"arn:aws:bedrock:*::foundation-model/*"`
	for _, c := range []struct {
		kind policy.Kind
		text string
		want string // "WEIGHT CODE at text", ";" between them
	}{
		{policy.Identity, st(ok), ""},
		{policy.Identity, ``, "ERROR JSON_SYNTAX_ERROR at "},
		{policy.Identity, `{"Version":`, `ERROR JSON_SYNTAX_ERROR at {"Version":`},
		{policy.Identity, `{"Version":"2013-10-17","Statement":[{` + ok + `}]}`, `ERROR INVALID_VERSION at "2013-10-17"`},
		{policy.Identity, `{"Version":"2012-10-17"}`, `ERROR MISSING_STATEMENT at {"Version":"2012-10-17"}`},
		{policy.Identity, `{"Version":"2012-10-17","Statment":[]}`, `ERROR INVALID_POLICY_ELEMENT at []`},
		{policy.Identity, `{"Statement":{` + ok + `}}`, `WARNING MISSING_VERSION at {"Statement":{` + ok + `}}`},
		{policy.Identity, st(`"Action":"bedrock:InvokeModel","Resource":"*"`), `ERROR MISSING_EFFECT at {"Action":"bedrock:InvokeModel","Resource":"*"}`},
		{policy.Identity, st(`"Effect":"allow","Action":"bedrock:InvokeModel","Resource":"*"`), `ERROR INVALID_EFFECT at "allow"`},
		{policy.Identity, st(`"Effect":"Allow","Resource":"*"`), `ERROR MISSING_ACTION at {"Effect":"Allow","Resource":"*"}`},
		{policy.Identity, st(`"Effect":"Allow","Action":"bedrock:InvokeModel"`), `ERROR MISSING_RESOURCE at {"Effect":"Allow","Action":"bedrock:InvokeModel"}`},
		{policy.Identity, st(`"Principal":"*",` + ok), `ERROR UNSUPPORTED_PRINCIPAL at "*"`},
		{policy.Identity, st(`"Conditions":{},` + ok), `ERROR INVALID_POLICY_ELEMENT at {}`},
		{policy.Identity, st(`"NotAction":"iam:*",` + ok), `ERROR UNSUPPORTED_ELEMENT_COMBINATION at "bedrock:InvokeModel"`},
		{policy.Identity, st(`"Sid":"a b",` + ok), `ERROR UNSUPPORTED_SID at "a b"`},
		{policy.Identity, st(`"Sid":"a",` + ok + `},{"Sid":"a",` + ok), `ERROR UNIQUE_SIDS_REQUIRED at "a"`},
		{policy.Identity, st(ok + `,"Condition":{"StringLke":{"aws:username":"x"}}`), `ERROR INVALID_CONDITION_OPERATOR at {"aws:username":"x"}`},
		{policy.Identity, st(ok + `,"Condition":{"StringLike":{"username":"x"}}`), `ERROR INVALID_CONDITION_KEY_FORMAT at "x"`},
		{policy.Identity, st(ok + `,"Condition":{"DateLessThan":{"aws:CurrentTime":"now"}}`), `ERROR INVALID_CONDITION_DATA_TYPE at "now"`},
		{policy.Trust, st(`"Effect":"Allow","Action":"sts:AssumeRole"`), `ERROR MISSING_PRINCIPAL at {"Effect":"Allow","Action":"sts:AssumeRole"}`},
		{policy.Trust, st(`"Effect":"Allow","Principal":{"Aws":"1"},"Action":"sts:AssumeRole"`), `ERROR INVALID_PRINCIPAL_KEY at "1"`},
		{policy.Trust, st(`"Effect":"Allow","Principal":{"AWS":"1"},"Action":"sts:AssumeRole"`), `ERROR INVALID_PRINCIPAL_FORMAT at "1"`},
		{policy.Trust, st(`"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::*:root"},"Action":"sts:AssumeRole"`), `ERROR UNSUPPORTED_WILDCARD_IN_PRINCIPAL at "arn:aws:iam::*:root"`},

		{policy.Identity, st(`"Effect":"Allow","Action":["bedrock:InvokeModel","bedrock:InvokeModle"],"Resource":"*"`), `ERROR INVALID_ACTION at "bedrock:InvokeModle"`},
		{policy.Identity, st(`"Effect":"Deny","NotAction":"bedrock:Frob*","Resource":"*"`), `ERROR INVALID_ACTION at "bedrock:Frob*"`},
		{policy.Identity, st(`"Effect":"Allow","Action":"bedrok:InvokeModel","Resource":"*"`), `WARNING INVALID_SERVICE_IN_ACTION at "bedrok:InvokeModel"`},
		{policy.Identity, st(`"Effect":"Allow","Action":"outcrop:GetAccessReview","Resource":"*"`), ``},
		{policy.Identity, st(ok + `,"Condition":{"StringEquals":{"aws:PrincipalOrg":"x"}}`), `ERROR INVALID_GLOBAL_CONDITION_KEY at "x"`},
		{policy.Identity, st(ok + `,"Condition":{"StringEquals":{"bedrock:Guardrail":["x"]}}`), `ERROR INVALID_SERVICE_CONDITION_KEY at ["x"]`},
		{policy.Identity, st(ok + `,"Condition":{"StringEquals":{"aws:PrincipalTag/team":"a*"}}`), `WARNING WILDCARD_WITHOUT_LIKE_OPERATOR at "a*"`},
		{policy.Identity, st(ok + `,"Condition":{"StringLike":{"aws:PrincipalTag/team":"a*"},"StringEquals":{"aws:username":"${*}"}}`), ``},
		{policy.Identity, st(`"Effect":"Allow","Action":"*","Resource":"*"`), `SECURITY_WARNING PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE at "*"`},
		{policy.Identity, st(`"Effect":"Allow","NotAction":"sts:*","Resource":"*"`), `SECURITY_WARNING PASS_ROLE_WITH_NOT_ACTION_AND_STAR_IN_RESOURCE at "*"`},
		{policy.Identity, st(`"Effect":"Allow","NotAction":"iam:*","Resource":"*"`), ``},
		{policy.Identity, st(`"Effect":"Allow","Action":"iam:Pass*","Resource":"*"`), `SECURITY_WARNING PASS_ROLE_WITH_STAR_IN_RESOURCE at "*"`},
		{policy.Identity, st(`"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"bedrock.amazonaws.com"}}`), ``},
		{policy.Identity, st(`"Effect":"Deny","Action":"*","Resource":"*"`), ``},
		{policy.ServiceControl, st(`"Effect":"Allow","Action":"*","Resource":"*"`), ``},
		{policy.Identity, st(`"Effect":"Allow","Action":"bedrock:*","Resource":"*"`), `SUGGESTION SERVICE_WILDCARD_WITH_STAR_IN_RESOURCE at "bedrock:*"`},
		{policy.Identity, st(`"Effect":"Allow","Action":["bedrock:Get*","bedrock:getguardrail"],"Resource":"*"`), `SUGGESTION REDUNDANT_ACTION at "bedrock:getguardrail"`},
		{policy.Identity, st(`"Effect":"Allow","Action":"bedrock:Get*","Resource":["arn:aws:bedrock:*:*:prompt/*","arn:aws:bedrock:*:*:prompt/*"]`), `SUGGESTION REDUNDANT_RESOURCE at "arn:aws:bedrock:*:*:prompt/*"`},
		{policy.Identity, st(`"Effect":"Allow","Action":[],"Resource":"*"`), `SUGGESTION EMPTY_ARRAY_ACTION at []`},
	} {
		t.Run(c.text, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, i := range analyze.Lint([]byte(c.text), c.kind) {
				at := []rune(c.text)[i.Begin.Offset:i.End.Offset]
				got = append(got, fmt.Sprintf("%s %s at %s", i.Weight, i.Code, string(at)))
				if !strings.HasSuffix(i.Text, ".") || i.Begin.Line != 1 || i.Begin.Column != i.Begin.Offset {
					t.Errorf("issue %+v", i)
				}
			}
			if strings.Join(got, ";") != c.want {
				t.Errorf("issues %s, want %s", strings.Join(got, ";"), c.want)
			}
		})
	}
	long := st(strings.Repeat(ok+"},{", 60) + ok)
	if got := analyze.Lint([]byte(long), policy.Identity); len(got) != 1 || got[0].Code != "POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA" {
		t.Errorf("a long policy: %+v", got)
	}
}

// Lines, columns and paths are those of the text.
func TestLintPosition(t *testing.T) {
	t.Parallel()
	text := "{\n  \"Id\": \"äö\", \"Version\": \"2012-10-17\",\n  \"Statement\": {\n    \"Effect\": \"Allow\",\n    \"Action\": [\"bedrock:InvokeModel\",\n      \"bedrock:Frob\"],\n    \"Resource\": \"arn:aws:bedrock:*:*:prompt/*\"\n  }\n}"
	got := analyze.Lint([]byte(text), policy.Identity)
	if len(got) != 1 {
		t.Fatalf("issues %+v", got)
	}
	i := got[0]
	if fmt.Sprint(i.Path) != "[Statement 0 Action 1]" || i.Begin.Line != 6 || i.Begin.Column != 6 || i.End.Column != 20 || string([]rune(text)[i.Begin.Offset:i.End.Offset]) != `"bedrock:Frob"` {
		t.Errorf("issue %+v", i)
	}
}

// FuzzLint: no text makes it fail, and positions stay within the text.
func FuzzLint(f *testing.F) {
	f.Add(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["bedrock:Frob"],"Resource":"*"}]}`)
	f.Add(`{"Statement":{"Effect":"x"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []policy.Kind{policy.Identity, policy.Trust, policy.Resource} {
			for _, i := range analyze.Lint([]byte(text), kind) {
				if i.Begin.Offset < 0 || i.End.Offset < i.Begin.Offset || i.End.Offset > len([]rune(text)) || i.Code == "" {
					t.Errorf("issue %+v", i)
				}
			}
		}
	})
}

// BenchmarkHostile compares and checks a policy that is made to take long: many
// actions, and resources full of stars.
func BenchmarkHostile(b *testing.B) {
	var list []string
	for i := range 900 {
		list = append(list, fmt.Sprintf(`"a:%x"`, i))
	}
	stars := func(s string) string { return `"arn:aws:x:::` + strings.Repeat(s, 2500) }
	text := []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":[` + strings.Join(list, ",") + `],"Resource":[` + stars("*a") + `c",` + stars("a*") + `b"]}}`)
	d, err := policy.Parse(text, policy.Identity)
	must(b, err)
	b.Run("compare", func(b *testing.B) {
		for b.Loop() {
			analyze.NewAccess(d, d)
		}
	})
	b.Run("granted", func(b *testing.B) {
		for b.Loop() {
			analyze.Granted(d, analyze.Access{Resources: []string{"arn:aws:x:::" + strings.Repeat("*b", 1000)}})
		}
	})
	b.Run("lint", func(b *testing.B) {
		for b.Loop() {
			analyze.Lint(text, policy.Identity)
		}
	})
}
