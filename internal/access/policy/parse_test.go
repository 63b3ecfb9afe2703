package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/access/policy"
)

// refusals are texts that are no policies, and what is said about them.
var refusals = []struct {
	name string
	kind policy.Kind
	text string
	want string
}{
	{"nothing", policy.Identity, ``, "the policy is no JSON: it ends too early"},
	{"cut off", policy.Identity, `{"Version": "2012-10-17", `, "the policy is no JSON: it ends too early"},
	{"broken", policy.Identity, `{"Version": nil}`, "the policy is no JSON: mistake at byte 14"},
	{"something behind", policy.Identity, `{} x`, "the policy is no JSON: something stands after byte 2"},
	{"not an object", policy.Identity, `[]`, "must be a JSON object"},
	{"not UTF-8", policy.Identity, "{\"Id\": \"\xff\"}", "the policy is not UTF-8"},
	{"too deep", policy.Identity, strings.Repeat("[", 1000), "the policy is nested deeper than 6 levels"},
	{"too long", policy.Identity, strings.Repeat(" ", 128<<10+1), "the policy is longer than 131072 bytes"},
	{"unknown element", policy.Identity, `{"Version": "2012-10-17", "Statements": []}`, "Statements: unknown element"},
	{"element of another case", policy.Identity, `{"version": "2012-10-17"}`, "version: unknown element"},
	{"element twice", policy.Identity, `{"Statement": [], "Statement": []}`, "Statement: stands twice"},
	{"unknown version", policy.Identity, `{"Version": "2012-10-18"}`, "Version: must be 2012-10-17 or 2008-10-17"},
	{"version no text", policy.Identity, `{"Version": 2012}`, "Version: must be a string"},
	{"no statement", policy.Identity, `{"Version": "2012-10-17"}`, "Statement: is missing"},
	{"empty statements", policy.Identity, `{"Statement": []}`, "Statement: must be a statement or a list of at least one"},
	{"statement no object", policy.Identity, `{"Statement": ["x"]}`, "Statement 1: must be a JSON object"},
	{"null", policy.Identity, `{"Statement": null}`, "Statement 1: must be a JSON object"},
	{
		"no effect", policy.Identity, `{"Statement": {"Sid": "A1", "Action": "*", "Resource": "*"}}`,
		`Statement 1 (Sid "A1"), Effect: is missing`,
	},
	{
		"bad effect", policy.Identity, `{"Statement": [{"Effect": "allow", "Action": "*", "Resource": "*"}]}`,
		"Statement 1, Effect: must be Allow or Deny",
	},
	{"no action", policy.Identity, `{"Statement": [{"Effect": "Allow", "Resource": "*"}]}`, "Statement 1, Action: is missing"},
	{
		"both actions", policy.Identity, `{"Statement": [{"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*"}]}`,
		"Statement 1, Action: stands beside NotAction",
	},
	{"no resource", policy.Identity, `{"Statement": [{"Effect": "Allow", "Action": "*"}]}`, "Statement 1, Resource: is missing"},
	{
		"empty NotAction", policy.Identity, `{"Statement": [{"Effect": "Allow", "NotAction": [], "Resource": "*"}]}`,
		"Statement 1, NotAction: must name at least one action",
	},
	{
		"empty NotResource", policy.Identity, `{"Statement": [{"Effect": "Allow", "Action": "*", "NotResource": []}]}`,
		"Statement 1, NotResource: must name at least one resource",
	},
	{
		"principal in an identity policy", policy.Identity,
		`{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}]}`,
		"Statement 1, Principal: has no place in an identity-based policy",
	},
	{
		"NotPrincipal in an SCP", policy.ServiceControl,
		`{"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*", "NotPrincipal": "*"}]}`,
		"Statement 1, NotPrincipal: has no place in a service control policy",
	},
	{
		"no principal", policy.Resource, `{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}`,
		"Statement 1, Principal: is missing",
	},
	{
		"NotPrincipal with Allow", policy.Resource,
		`{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "NotPrincipal": {"AWS": "111122223333"}}]}`,
		"Statement 1, NotPrincipal: goes with the effect Deny alone",
	},
	{
		"NotPrincipal in a trust policy", policy.Trust,
		`{"Statement": [{"Effect": "Deny", "Action": "sts:AssumeRole", "NotPrincipal": {"AWS": "111122223333"}}]}`,
		"Statement 1, NotPrincipal: has no place in a role trust policy",
	},
	{
		"resource in a trust policy", policy.Trust,
		`{"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*", "Principal": "*"}]}`,
		"Statement 1, Resource: has no place in a role trust policy",
	},
	{
		"other action in a trust policy", policy.Trust,
		`{"Statement": [{"Effect": "Allow", "Action": ["sts:AssumeRole", "iam:PassRole"], "Principal": "*"}]}`,
		"Statement 1, Action: a role trust policy may name actions of sts alone",
	},
	{
		"any action in a trust policy", policy.Trust, `{"Statement": [{"Effect": "Allow", "Action": "*", "Principal": "*"}]}`,
		"Statement 1, Action: a role trust policy may name actions of sts alone",
	},
	{
		"action without service", policy.Identity, `{"Statement": [{"Effect": "Allow", "Action": "InvokeModel", "Resource": "*"}]}`,
		`Statement 1, Action: an action must be "*" or like service:Name`,
	},
	{
		"wildcard in the service", policy.Identity, `{"Statement": [{"Effect": "Allow", "Action": "bed*:InvokeModel", "Resource": "*"}]}`,
		"Statement 1, Action: the service of an action must be named without wildcards",
	},
	{
		"action no text", policy.Identity, `{"Statement": [{"Effect": "Allow", "Action": ["bedrock:*", 1], "Resource": "*"}]}`,
		"Statement 1, Action: must be a string or a list of strings",
	},
	{
		"variable in an action", policy.Identity,
		`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iam:${aws:username}", "Resource": "*"}]}`,
		"Statement 1, Action: an action may not have policy variables",
	},
	{
		"resource no ARN", policy.Identity, `{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "anthropic.claude-v2"}]}`,
		`Statement 1, Resource: a resource must be an ARN or "*"`,
	},
	{
		"wildcard for the service", policy.Identity, `{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:*:::x"}]}`,
		"Statement 1, Resource: the service of a resource must be named without wildcards",
	},
	{
		"incomplete ARN in a session policy", policy.Session,
		`{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:bedrock:*"}]}`,
		"Statement 1, Resource: an ARN must have six parts",
	},
	{
		"incomplete ARN in a resource policy", policy.Resource,
		`{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "arn:aws:bedrock"}]}`,
		"Statement 1, Resource: an ARN must have six parts",
	},
	{
		"early variable", policy.Identity,
		`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:iam::${aws:PrincipalAccount}:user/x"}]}`,
		"Statement 1, Resource: policy variables may stand only behind the fifth colon of an ARN",
	},
	{"sid of other characters", policy.Identity, oneStatement(`"Sid": "a b"`), "Statement 1, Sid: must be at most 256 of the characters A-Z, a-z and 0-9"},
	{
		"sid twice", policy.Identity, `{"Statement": [
			{"Sid": "A", "Effect": "Allow", "Action": "*", "Resource": "*"}, {"Sid": "A", "Effect": "Deny", "Action": "*", "Resource": "*"}]}`,
		`Statement 2 (Sid "A"), Sid: another statement has the same`,
	},
	{
		"unknown operator", policy.Identity, `{"Statement": [
			{"Effect": "Allow", "Action": "*", "Resource": "*"},
			{"Sid": "x", "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringLke": {"aws:username": "x"}}}]}`,
		`Statement 2 (Sid "x"), Condition.StringLke: unknown operator`,
	},
	{
		"two set operators", policy.Identity, condition(`"ForAnyValue:ForAllValues:StringLike": {"aws:username": "x"}`),
		"Statement 1, Condition.ForAnyValue:ForAllValues:StringLike: unknown operator",
	},
	{
		"Null with IfExists", policy.Identity, condition(`"NullIfExists": {"aws:username": "true"}`),
		"Statement 1, Condition.NullIfExists: the operator Null goes with neither IfExists nor a set operator",
	},
	{"key without prefix", policy.Identity, condition(`"StringLike": {"username": "x"}`), "Statement 1, Condition.StringLike.username: a condition key must be like prefix:name"},
	{
		"key twice in two cases", policy.Identity, condition(`"StringLike": {"aws:username": "x", "aws:UserName": "y"}`),
		"Statement 1, Condition.StringLike.aws:UserName: stands twice",
	},
	{
		"no values", policy.Identity, condition(`"StringLike": {"aws:username": []}`),
		"Statement 1, Condition.StringLike.aws:username: must have at least one value",
	},
	{
		"values of another form", policy.Identity, condition(`"StringLike": {"aws:username": {"a": "b"}}`),
		"Statement 1, Condition.StringLike.aws:username: must be a string, a number, a boolean or a list of them",
	},
	{
		"no number", policy.Identity, condition(`"NumericLessThan": {"aws:MultiFactorAuthAge": "0x10"}`),
		"Statement 1, Condition.NumericLessThan.aws:MultiFactorAuthAge: a value must be a number",
	},
	{
		"no date", policy.Identity, condition(`"DateLessThan": {"aws:CurrentTime": "2026-02-30T00:00:00Z"}`),
		"Statement 1, Condition.DateLessThan.aws:CurrentTime: a value must be a date such as 2026-01-31T12:00:00Z, or seconds since 1970",
	},
	{"no boolean", policy.Identity, condition(`"Bool": {"aws:SecureTransport": "yes"}`), "Statement 1, Condition.Bool.aws:SecureTransport: a value must be true or false"},
	{"no base64", policy.Identity, condition(`"BinaryEquals": {"a:b": "x"}`), "Statement 1, Condition.BinaryEquals.a:b: a value must be base64"},
	{
		"no address", policy.Identity, condition(`"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}`),
		"Statement 1, Condition.IpAddress.aws:SourceIp: a value must be an IP address or a range such as 203.0.113.0/24",
	},
	{
		"no ARN", policy.Identity, condition(`"ArnLike": {"aws:SourceArn": "arn:aws:s3:*"}`),
		`Statement 1, Condition.ArnLike.aws:SourceArn: a value must be an ARN with six parts, or "*"`,
	},
	{
		"variable without brace", policy.Identity, condition(`"StringLike": {"aws:username": "${aws:userid"}`),
		"Statement 1, Condition.StringLike.aws:username: a policy variable has no closing brace",
	},
	{"variable without key", policy.Identity, condition(`"StringLike": {"aws:username": "${}"}`), "Statement 1, Condition.StringLike.aws:username: a policy variable names no key"},
	{
		"variable with spaces", policy.Identity, condition(`"StringLike": {"aws:username": "${ aws:userid }"}`),
		"Statement 1, Condition.StringLike.aws:username: a policy variable has white space before or after its key",
	},
	{
		"variable of another form", policy.Identity, condition(`"StringLike": {"aws:username": "${username}"}`),
		"Statement 1, Condition.StringLike.aws:username: the key of a policy variable must be like prefix:name",
	},
	{
		"default without quotes", policy.Identity, condition(`"StringLike": {"aws:username": "${aws:userid, x}"}`),
		"Statement 1, Condition.StringLike.aws:username: the default of a policy variable must stand in single quotes after a comma",
	},
	{"variable of a number", policy.Identity, condition(`"NumericEquals": {"a:b": "${aws:userid}"}`), "Statement 1, Condition.NumericEquals.a:b: a value must be a number"},
	{"principal of another form", policy.Resource, principal(`"everybody"`), `Statement 1, Principal: must be "*" or a JSON object`},
	{"nobody", policy.Resource, principal(`{}`), "Statement 1, Principal: names nobody"},
	{"empty list of principals", policy.Resource, principal(`{"AWS": []}`), "Statement 1, Principal.AWS: names nobody"},
	{"unknown kind of principal", policy.Resource, principal(`{"Group": "x"}`), "Statement 1, Principal.Group: unknown kind of principal"},
	{
		"wildcard in a principal", policy.Resource, principal(`{"AWS": "arn:aws:iam::111122223333:user/*"}`),
		`Statement 1, Principal.AWS: a principal may not have wildcards, apart from "*" alone for AWS`,
	},
	{
		"group as principal", policy.Resource, principal(`{"AWS": "arn:aws:iam::111122223333:group/x"}`),
		`Statement 1, Principal.AWS: must be "*", an account number, an ARN of an account, user, role or session, or a unique id`,
	},
	{"any service", policy.Resource, principal(`{"Service": "*"}`), `Statement 1, Principal.Service: a principal may not have wildcards, apart from "*" alone for AWS`},
	{"empty principal", policy.Resource, principal(`{"Federated": " "}`), "Statement 1, Principal.Federated: a principal is empty"},
}

// oneStatement is a policy of one statement with one more member.
func oneStatement(more string) string {
	return `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", ` + more + `}]}`
}

func condition(members string) string { return oneStatement(`"Condition": {` + members + `}`) }

func principal(p string) string { return oneStatement(`"Principal": ` + p) }

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := policy.Parse([]byte(c.text), c.kind)
			e, ok := errors.AsType[*policy.Error](err)
			if !ok {
				t.Fatalf("got %v, want a *policy.Error", err)
			}
			if e.Error() != c.want {
				t.Errorf("got  %s\nwant %s", e, c.want)
			}
		})
	}
}

func TestParseErrorNamesItsPlace(t *testing.T) {
	t.Parallel()
	_, err := policy.Parse([]byte(`{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Sid": "B", "Effect": "No"}]}`), policy.Identity)
	e, ok := errors.AsType[*policy.Error](err)
	if !ok || *e != (policy.Error{Statement: 1, Sid: "B", Element: "Effect", Reason: "must be Allow or Deny"}) {
		t.Errorf("got %+v", err)
	}
	_, err = policy.Parse([]byte(`{"Id": 1}`), policy.Identity)
	if e, ok := errors.AsType[*policy.Error](err); !ok || e.Statement != -1 || e.Element != "Id" {
		t.Errorf("got %+v", err)
	}
}

func TestParseTakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		kind policy.Kind
		text string
	}{
		{"one statement", policy.Identity, `{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`},
		{"no action at all", policy.Identity, `{"Statement": {"Effect": "Allow", "Action": [], "Resource": []}}`},
		{"incomplete ARN", policy.Identity, `{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "arn:aws:sqs"}}`},
		{"empty condition", policy.Identity, oneStatement(`"Condition": {}`)},
		{"operator without keys", policy.Identity, condition(`"StringLike": {}`)},
		{"operator in another case", policy.Identity, condition(`"foranyvalue:stringlikeifexists": {"aws:username": "x"}`)},
		{"numbers and booleans", policy.Identity, condition(`"NumericEquals": {"a:b": 3.5}, "Bool": {"a:c": [true]}, "StringEquals": {"a:d": false}`)},
		{"dollar signs", policy.Identity, condition(`"StringEquals": {"a:b": ["$", "$x", "x$", "{}"]}`)},
		{"brace in a default", policy.Identity, condition(`"StringEquals": {"a:b": "${aws:username, 'a}b'}"}`)},
		{"broken variable in the old version", policy.Identity, strings.Replace(condition(`"StringEquals": {"a:b": "${x"}`), "2012-10-17", "2008-10-17", 1)},
		{"sid with spaces", policy.Resource, `{"Id": "any text", "Statement": {"Sid": "my own statement", "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}}`},
		{"principals", policy.Resource, principal(`{"AWS": ["*", "111122223333", "arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:user/a/b",
			"arn:aws-cn:iam::111122223333:role/r", "arn:aws:sts::111122223333:assumed-role/r/s", "arn:aws:sts::111122223333:federated-user/f",
			"AIDAABCDEFGHIJKLMNOPQ", "AROAABCDEFGHIJKLMNOPQ"], "Service": "bedrock.amazonaws.com", "Federated": ["accounts.google.com"],
			"CanonicalUser": "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"}`)},
		{"trust", policy.Trust, `{"Statement": {"Effect": "Allow", "Principal": {"Service": "bedrock.amazonaws.com"}, "Action": ["sts:AssumeRole", "sts:TagSession"]}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := parse(t, c.kind, c.text)
			again := parse(t, c.kind, string(d.Print()))
			if string(again.Print()) != string(d.Print()) {
				t.Errorf("printed\n%s\nthen\n%s", d.Print(), again.Print())
			}
			if string(d.Text()) != c.text || d.Kind() != c.kind {
				t.Errorf("text %s, kind %v", d.Text(), d.Kind())
			}
		})
	}
}
