package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/access/policy/policytest"
)

// TestConditions holds the rules of the user guide about operators.
func TestConditions(t *testing.T) {
	t.Parallel()
	tags := func(all ...string) keys { return keys{"aws:tagkeys": all} }
	one := func(v string) keys { return keys{"a:b": {v}} }
	for _, c := range []struct {
		condition string
		keys      keys
		want      bool
	}{
		// A key that is absent.
		{`"StringEquals": {"a:b": "x"}`, nil, false},
		{`"StringNotEquals": {"a:b": "x"}`, nil, true},
		{`"StringEqualsIfExists": {"a:b": "x"}`, nil, true},
		{`"StringNotEqualsIfExists": {"a:b": "x"}`, nil, true},
		{`"Bool": {"a:b": "false"}`, nil, false},
		{`"BoolIfExists": {"a:b": "true"}`, nil, true},
		{`"NumericNotEquals": {"a:b": "1"}`, nil, true},
		{`"DateLessThan": {"a:b": "2026"}`, nil, false},
		{`"IpAddress": {"a:b": "10.0.0.0/8"}`, nil, false},
		{`"NotIpAddress": {"a:b": "10.0.0.0/8"}`, nil, true},
		{`"ArnNotLike": {"a:b": "arn:aws:s3:::x"}`, nil, true},
		{`"Null": {"a:b": "true"}`, nil, true},
		{`"Null": {"a:b": "false"}`, nil, false},
		{`"Null": {"a:b": "true"}`, keys{"a:b": {}}, true},
		{`"Null": {"a:b": true}`, one("x"), false},
		{`"Null": {"a:b": ["true", "false"]}`, one("x"), true},

		// Several values, operators and keys.
		{`"StringEquals": {"a:b": ["x", "y"]}`, one("y"), true},
		{`"StringNotEquals": {"a:b": ["x", "y"]}`, one("y"), false},
		{`"StringNotEquals": {"a:b": ["x", "y"]}`, one("z"), true},
		{`"StringEquals": {"a:b": "x", "a:c": "y"}`, keys{"a:b": {"x"}, "a:c": {"z"}}, false},
		{`"StringEquals": {"a:b": "x"}, "Bool": {"a:c": "true"}`, keys{"a:b": {"x"}, "a:c": {"true"}}, true},
		{`"StringEquals": {"A:B": "x"}`, one("x"), true},

		// Texts.
		{`"StringEquals": {"a:b": "x"}`, one("X"), false},
		{`"StringEquals": {"a:b": "x*"}`, one("xy"), false},
		{`"StringEqualsIgnoreCase": {"a:b": "straße"}`, one("STRAßE"), true},
		{`"StringNotEqualsIgnoreCase": {"a:b": "x"}`, one("X"), false},
		{`"StringLike": {"a:b": "x*z?"}`, one("xyyzé"), true},
		{`"StringLike": {"a:b": "x*z?"}`, one("xyyz"), false},
		{`"StringLike": {"a:b": "X*"}`, one("xy"), false},
		{`"StringNotLike": {"a:b": ["x*", "y*"]}`, one("yz"), false},
		{`"StringLike": {"a:b": "${*}x${?}"}`, one("*x?"), true},
		{`"StringLike": {"a:b": "${*}x${?}"}`, one("axb"), false},
		{`"StringEquals": {"a:b": "${$}{x}"}`, one("${x}"), true},

		// Variables.
		{`"StringEquals": {"a:b": "${aws:username}"}`, keys{"a:b": {"ann"}, "aws:username": {"ann"}}, true},
		{`"StringEquals": {"a:b": "${AWS:UserName}"}`, keys{"a:b": {"ann"}, "aws:username": {"ann"}}, true},
		{`"StringLike": {"a:b": "${aws:username}*"}`, keys{"a:b": {"anna"}, "aws:username": {"ann"}}, true},
		{`"StringLike": {"a:b": "${aws:username}"}`, keys{"a:b": {"bob"}, "aws:username": {"*"}}, false},
		{`"StringEqualsIgnoreCase": {"a:b": "x-${aws:username}"}`, keys{"a:b": {"X-Ann"}, "aws:username": {"aNN"}}, true},
		{`"StringEquals": {"a:b": "${aws:username}"}`, one("${aws:username}"), false},
		{`"StringNotEquals": {"a:b": "${aws:username}"}`, one("x"), true},
		{`"StringEquals": {"a:b": "${aws:username}"}`, keys{"a:b": {""}, "aws:username": {""}}, false},
		{`"StringEquals": {"a:b": "${aws:username, 'who'}"}`, one("who"), true},
		{`"StringEquals": {"a:b": "${aws:username, 'who'}"}`, keys{"a:b": {"who"}, "aws:username": {"ann"}}, false},
		{`"StringEquals": {"a:b": "${aws:username,''}"}`, one(""), true},
		{`"StringEquals": {"a:b": "${aws:TagKeys, 'x'}"}`, keys{"a:b": {"x"}, "aws:tagkeys": {"y"}}, true},
		{`"StringEquals": {"a:b": "${a:c}"}`, keys{"a:b": {"x"}, "a:c": {"x", "y"}}, false},
		{`"StringEquals": {"a:b": "${aws:PrincipalTag/cost center}"}`, keys{"a:b": {"7"}, "aws:principaltag/cost center": {"7"}}, true},
		{`"ArnEquals": {"a:b": "${aws:PrincipalArn}"}`, keys{"a:b": {"arn:aws:iam::1:user/a"}, "aws:principalarn": {"arn:aws:iam::1:user/a"}}, true},
		{`"ArnLike": {"a:b": "arn:aws:iam::*:user/${aws:username}"}`, keys{"a:b": {"arn:aws:iam::1:user/a"}, "aws:username": {"a"}}, true},
		{`"ArnNotLike": {"a:b": "arn:aws:iam::*:user/${aws:username}"}`, one("arn:aws:iam::1:user/a"), true},
		{`"Bool": {"a:b": "${a:c}"}`, keys{"a:b": {"true"}, "a:c": {"True"}}, true},
		{`"Bool": {"a:b": "${a:c}"}`, keys{"a:b": {"true"}, "a:c": {"yes"}}, false},

		// Numbers.
		{`"NumericEquals": {"a:b": "300"}`, one("300.0"), true},
		{`"NumericEquals": {"a:b": 300}`, one("3e2"), true},
		{`"NumericLessThan": {"a:b": "300"}`, one("299.99"), true},
		{`"NumericLessThan": {"a:b": "300"}`, one("300"), false},
		{`"NumericLessThanEquals": {"a:b": "300"}`, one("300"), true},
		{`"NumericGreaterThan": {"a:b": "-1"}`, one("-0.5"), true},
		{`"NumericGreaterThan": {"a:b": "7"}`, one("7"), false},
		{`"NumericGreaterThanEquals": {"a:b": ["10", "5"]}`, one("7"), true},
		{`"NumericEquals": {"a:b": "1"}`, one("one"), false},
		{`"NumericNotEquals": {"a:b": "1"}`, one("one"), true},
		{`"NumericLessThan": {"a:b": "1"}`, one("NaN"), false},
		{`"NumericLessThan": {"a:b": "1"}`, one("-Inf"), false},

		// Dates.
		{`"DateEquals": {"a:b": "2026-03-01T12:00:00Z"}`, one("2026-03-01T13:30:00+01:30"), true},
		{`"DateEquals": {"a:b": "2026-03-01T12:00:00Z"}`, one("2026-03-01T09:30:00-02:30"), true},
		{`"DateEquals": {"a:b": "2026-03-01T12:00:00.25Z"}`, one("2026-03-01T12:00:00.2500Z"), true},
		{`"DateLessThan": {"a:b": "2026-03-01T12:00:00.3Z"}`, one("2026-03-01T12:00:00.29Z"), true},
		{`"DateEquals": {"a:b": "2026-03-01T12:00:00Z"}`, one("1772366400"), true},
		{`"DateGreaterThan": {"a:b": "2026"}`, one("2026-01-01T00:00:00.5Z"), true},
		{`"DateGreaterThanEquals": {"a:b": "2026-02"}`, one("2026-02-01"), true},
		{`"DateLessThan": {"a:b": "2026-02-01T00:01Z"}`, one("2026-02-01T00:00:59Z"), true},
		{`"DateLessThanEquals": {"a:b": "2026-02-01T00:01"}`, one("2026-02-01T00:01:01Z"), false},
		{`"DateNotEquals": {"a:b": "2026-02-01"}`, one("tomorrow"), true},
		{`"DateLessThan": {"a:b": "2026-02-01"}`, one("tomorrow"), false},
		{`"DateLessThan": {"a:b": "2026-02-01"}`, one("2026-01-32"), false},

		// Booleans, bytes.
		{`"Bool": {"a:b": "true"}`, one("TRUE"), true},
		{`"Bool": {"a:b": ["true", "false"]}`, one("false"), true},
		{`"Bool": {"a:b": "false"}`, one("no"), false},
		{`"BinaryEquals": {"a:b": "QUJD"}`, one("QUJD"), true},
		{`"BinaryEquals": {"a:b": "QUJD"}`, one("QUJE"), false},

		// Addresses.
		{`"IpAddress": {"a:b": "203.0.113.0/24"}`, one("203.0.113.255"), true},
		{`"IpAddress": {"a:b": "203.0.113.7/24"}`, one("203.0.113.255"), true},
		{`"IpAddress": {"a:b": "203.0.113.7"}`, one("203.0.113.8"), false},
		{`"IpAddress": {"a:b": "10.0.0.0/8"}`, one("::ffff:10.1.2.3"), true},
		{`"IpAddress": {"a:b": "0.0.0.0/0"}`, one("2001:db8::1"), false},
		{`"IpAddress": {"a:b": ["10.0.0.0/8", "2001:db8::/32"]}`, one("2001:db8:1::1"), true},
		{`"IpAddress": {"a:b": "fe80::/10"}`, one("fe80::1%eth0"), true},
		{`"NotIpAddress": {"a:b": ["10.0.0.0/8", "192.0.2.0/24"]}`, one("192.0.2.1"), false},
		{`"NotIpAddress": {"a:b": "10.0.0.0/8"}`, one("no address"), true},

		// ARNs.
		{`"ArnEquals": {"a:b": "arn:aws:s3:::x*"}`, one("arn:aws:s3:::xy/z:1"), true},
		{`"ArnLike": {"a:b": "arn:aws:*:*:111122223333:*"}`, one("arn:aws:bedrock:us-east-1:111122223333:guardrail/a:1"), true},
		{`"ArnLike": {"a:b": "arn:aws:bedrock:*:*:1"}`, one("arn:aws:bedrock:us-east-1:111122223333:guardrail/a:1"), false},
		{`"ArnLike": {"a:b": "*"}`, one("arn:aws:s3:::x"), true},
		{`"ArnLike": {"a:b": "*"}`, one("x"), false},
		{`"ArnNotEquals": {"a:b": "arn:aws:s3:::x"}`, one("x"), true},

		// Sets.
		{`"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}`, tags("a", "b"), true},
		{`"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}`, tags("a", "c"), false},
		{`"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}`, nil, true},
		{`"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}`, tags(""), true},
		{`"ForAnyValue:StringEquals": {"aws:TagKeys": ["a", "b"]}`, tags("c", "b"), true},
		{`"ForAnyValue:StringEquals": {"aws:TagKeys": ["a", "b"]}`, tags("c"), false},
		{`"ForAnyValue:StringEquals": {"aws:TagKeys": ["a", "b"]}`, nil, false},
		{`"ForAnyValue:StringEqualsIfExists": {"aws:TagKeys": ["a", "b"]}`, nil, true},
		{`"ForAnyValue:StringNotEquals": {"aws:TagKeys": ["a", "b"]}`, tags("a", "c"), true},
		{`"ForAnyValue:StringNotEquals": {"aws:TagKeys": ["a", "b"]}`, nil, false},
		{`"ForAllValues:StringNotEquals": {"aws:TagKeys": ["a", "b"]}`, tags("c", "d"), true},
		{`"ForAllValues:StringNotEquals": {"aws:TagKeys": ["a", "b"]}`, tags("c", "a"), false},
		{`"StringEquals": {"aws:TagKeys": "a"}`, tags("a"), false},
		{`"StringNotEquals": {"aws:TagKeys": "a"}`, tags("b", "c"), false},
		{`"StringEquals": {"a:b": "x"}`, keys{"a:b": {"x", "x"}}, false},
	} {
		t.Run(c.condition, func(t *testing.T) {
			t.Parallel()
			d := parse(t, policy.Identity, condition(c.condition))
			r := &policy.Request{Action: "bedrock:InvokeModel", Resource: "*", Keys: c.keys}
			if got := d.Evaluate(r).Effect == policy.Allow; got != c.want {
				t.Errorf("with %v: %v, want %v", c.keys, got, c.want)
			}
		})
	}
}

func TestOldVersionKnowsNoVariables(t *testing.T) {
	t.Parallel()
	for _, version := range []string{`"Version": "2008-10-17", `, ""} {
		d := parse(t, policy.Identity, `{`+version+`"Statement": {"Effect": "Allow", "Action": "*", "Resource": "arn:aws:iam::*:user/${aws:username}",
			"Condition": {"StringEquals": {"a:b": "${aws:username}"}}}}`)
		r := &policy.Request{Action: "iam:GetUser", Resource: "arn:aws:iam::1:user/${aws:username}", Keys: keys{"a:b": {"${aws:username}"}, "aws:username": {"ann"}}}
		if d.Evaluate(r).Effect != policy.Allow {
			t.Error("the text of a variable does not match itself")
		}
	}
}

func TestMatchResource(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:bedrock:us-east-1:111122223333:guardrail/abc:1"
	for pattern, want := range map[string]bool{
		arn: true, "*": true, "arn:aws:bedrock:*": true, "arn:aws:bedrock:us-*:111122223333:guardrail/*": true,
		"arn:aws:bedrock:us-east-?:*:guardrail/ab?:1": true, "arn:aws:bedrock:us-east-1:111122223333:*c:*": true,
		"arn:aws:bedrock:*:guardrail/abc:1":                     true,  // a star at the end of a part reaches beyond it
		"arn:aws:bedrock:u*1:111122223333:guardrail/abc:1":      true,  // and one inside stays
		"arn:aws:bedrock:u*3:guardrail/abc:1":                   false, //
		"arn:aws:bedrock:us-east-1?111122223333:guardrail/abc*": false,
		"arn:aws:bedrock:us-east-1:111122223333:Guardrail/*":    false, "": false, "arn:aws:bedrock": false,
		"arn:aws:bedrock:us-east-1:111122223333:guardrail/abc": false, "arn:aws:bedrock:us-east-1:111122223333:guardrail/abc:1?": false,
	} {
		if got := policy.MatchResource(pattern, arn); got != want {
			t.Errorf("%s: %v, want %v", pattern, got, want)
		}
	}
}

// TestMatchSmall tries all short patterns on all short texts.
func TestMatchSmall(t *testing.T) {
	t.Parallel()
	patterns, texts := words("a:*?", 5), words("a:", 6)
	for _, head := range []string{"", "::::", ":::::"} { // the first part, the fifth, the sixth
		for _, p := range patterns {
			for _, text := range texts {
				pattern, arn := head+p, head+text
				if got, want := policy.MatchResource(pattern, arn), policytest.NaiveResource(pattern, arn); got != want {
					t.Fatalf("%q on %q: %v, want %v", pattern, arn, got, want)
				}
			}
		}
	}
}

// words are all words of some letters up to a length.
func words(letters string, longest int) []string {
	all := []string{""}
	for begin := 0; longest > 0; longest-- {
		end := len(all)
		for _, w := range all[begin:end] {
			for _, l := range letters {
				all = append(all, w+string(l))
			}
		}
		begin = end
	}
	return all
}

func TestMatchAction(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]bool{
		"bedrock:InvokeModel": true, "BEDROCK:invokemodel": true, "*": true, "bedrock:*": true, "bedrock:Invoke*": true, "bedrock:*Model": true,
		"bedrock:Invoke?odel": true, "bedrock:InvokeModel*": true, "bedrock:InvokeModel?": false, "bedrock:Invoke": false, "sts:*": false, "": false,
	} {
		if got := policy.MatchAction(pattern, "bedrock:InvokeModel"); got != want {
			t.Errorf("%s: %v, want %v", pattern, got, want)
		}
	}
}

func TestPrincipals(t *testing.T) {
	t.Parallel()
	const account = "111122223333"
	user := policy.Principal{ARN: "arn:aws:iam::111122223333:user/ann", Account: account, UserID: "AIDAABCDEFGHIJKLMNOPQ"}
	session := policy.Principal{
		ARN: "arn:aws:sts::111122223333:assumed-role/app/s1", Account: account,
		RoleARN: "arn:aws:iam::111122223333:role/app", UserID: "AROAABCDEFGHIJKLMNOPQ:s1",
	}
	root := policy.Principal{ARN: "arn:aws:iam::111122223333:root", Account: account, UserID: account}
	service := policy.Principal{Service: "bedrock.amazonaws.com"}
	federated := policy.Principal{Federated: "accounts.google.com"}
	anonymous := policy.Principal{Anonymous: true}
	type want struct{ applies, exact bool }
	no, yes, exactly := want{}, want{applies: true}, want{true, true}
	for _, c := range []struct {
		element string
		p       policy.Principal
		want    want
	}{
		{`"*"`, user, yes},
		{`"*"`, anonymous, yes},
		{`{"AWS": "*"}`, anonymous, yes},
		{`{"AWS": "*"}`, service, yes},
		{`{"AWS": "111122223333"}`, user, yes},
		{`{"AWS": "111122223333"}`, session, yes},
		{`{"AWS": "111122223333"}`, anonymous, no},
		{`{"AWS": "arn:aws:iam::111122223333:root"}`, user, yes},
		{`{"AWS": "arn:aws:iam::111122223333:root"}`, root, yes},
		{`{"AWS": "arn:aws:iam::444455556666:root"}`, root, no},
		{`{"AWS": "arn:aws:iam::111122223333:user/ann"}`, user, exactly},
		{`{"AWS": ["111122223333", "arn:aws:iam::111122223333:user/ann"]}`, user, exactly},
		{`{"AWS": "arn:aws:iam::111122223333:user/Ann"}`, user, no},
		{`{"AWS": "AIDAABCDEFGHIJKLMNOPQ"}`, user, exactly},
		{`{"AWS": "arn:aws:iam::111122223333:role/app"}`, session, yes},
		{`{"AWS": "arn:aws:sts::111122223333:assumed-role/app/s1"}`, session, exactly},
		{`{"AWS": "arn:aws:sts::111122223333:assumed-role/app/s2"}`, session, no},
		{`{"AWS": "AROAABCDEFGHIJKLMNOPQ"}`, session, yes},
		{`{"Service": ["lambda.amazonaws.com", "bedrock.amazonaws.com"]}`, service, exactly},
		{`{"Service": "lambda.amazonaws.com"}`, service, no},
		{`{"Service": "bedrock.amazonaws.com"}`, user, no},
		{`{"Federated": "accounts.google.com"}`, federated, exactly},
		{`{"CanonicalUser": "79a59df900b949e5"}`, user, no},
	} {
		for _, kind := range []policy.Kind{policy.Resource, policy.Endpoint} {
			d := parse(t, kind, principal(c.element))
			m := d.Evaluate(&policy.Request{Principal: c.p, Action: "bedrock:InvokeModel", Resource: "*"})
			if got := (want{m.Effect == policy.Allow, m.Exact}); got != c.want {
				t.Errorf("%v %s and %+v: %+v, want %+v", kind, c.element, c.p, got, c.want)
			}
		}
	}
	for _, c := range []struct {
		element string
		p       policy.Principal
		denied  bool
	}{
		{`{"AWS": ["arn:aws:iam::111122223333:user/ann", "111122223333"]}`, user, false},
		{`{"AWS": ["arn:aws:iam::111122223333:user/ann"]}`, user, true},
		{`{"AWS": ["111122223333"]}`, user, true},
		{`{"AWS": ["111122223333"]}`, root, false},
		{`{"AWS": ["arn:aws:iam::111122223333:user/bob", "111122223333"]}`, user, true},
		{`{"AWS": ["arn:aws:iam::111122223333:role/app", "111122223333"]}`, session, false},
		{`{"AWS": ["arn:aws:sts::111122223333:assumed-role/app/s1", "arn:aws:iam::111122223333:root"]}`, session, false},
		{`{"AWS": ["arn:aws:sts::111122223333:assumed-role/app/s2", "arn:aws:iam::111122223333:root"]}`, session, true},
		{`{"Service": "bedrock.amazonaws.com"}`, service, false},
		{`{"Service": "bedrock.amazonaws.com"}`, user, true},
		{`{"AWS": "111122223333"}`, anonymous, true},
		{`"*"`, anonymous, false},
	} {
		d := parse(t, policy.Resource, fmt.Sprintf(`{"Statement": {"Effect": "Deny", "NotPrincipal": %s, "Action": "*", "Resource": "*"}}`, c.element))
		if got := d.Evaluate(&policy.Request{Principal: c.p, Action: "a:b", Resource: "*"}).Effect == policy.Deny; got != c.denied {
			t.Errorf("NotPrincipal %s and %+v: %v, want %v", c.element, c.p, got, c.denied)
		}
	}
}

func TestEvaluateOrder(t *testing.T) {
	t.Parallel()
	d := parse(t, policy.Resource, `{"Version": "2012-10-17", "Statement": [
		{"Sid": "All", "Effect": "Allow", "Principal": "*", "Action": "bedrock:*", "Resource": "*"},
		{"Sid": "Ann", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:user/ann"}, "NotAction": "bedrock:Delete*", "Resource": "*"},
		{"Sid": "No", "Effect": "Deny", "Principal": "*", "Action": "*", "NotResource": "arn:aws:bedrock:*"}]}`)
	p := policy.Principal{ARN: "arn:aws:iam::111122223333:user/ann", Account: "111122223333"}
	const guardrail = "arn:aws:bedrock:us-east-1:111122223333:guardrail/abc"
	for _, c := range []struct {
		action, resource string
		want             policy.Match
		matches          string
	}{
		{"bedrock:GetGuardrail", guardrail, policy.Match{Effect: policy.Allow, Statement: 1, Sid: "Ann", Exact: true}, "All Ann"},
		{"bedrock:DeleteGuardrail", guardrail, policy.Match{Effect: policy.Allow, Statement: 0, Sid: "All"}, "All"},
		{"bedrock:GetGuardrail", "*", policy.Match{Effect: policy.Deny, Statement: 2, Sid: "No"}, "All Ann No"},
		{"sts:AssumeRole", guardrail, policy.Match{Effect: policy.Allow, Statement: 1, Sid: "Ann", Exact: true}, "Ann"},
	} {
		r := &policy.Request{Principal: p, Action: c.action, Resource: c.resource}
		if got := d.Evaluate(r); got != c.want {
			t.Errorf("%s on %s: %+v, want %+v", c.action, c.resource, got, c.want)
		}
		var sids []string
		for m := range d.Matches(r) {
			sids = append(sids, m.Sid)
		}
		if got := strings.Join(sids, " "); got != c.matches {
			t.Errorf("%s on %s: matches %s, want %s", c.action, c.resource, got, c.matches)
		}
	}
	if got := d.Evaluate(&policy.Request{Action: "sts:AssumeRole", Resource: guardrail}); got != (policy.Match{Statement: -1}) {
		t.Errorf("nothing applies: %+v", got)
	}
}

func TestResources(t *testing.T) {
	t.Parallel()
	allow := func(element string) string {
		return `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", ` + element + `}}`
	}
	for _, c := range []struct {
		element, resource string
		want              bool
	}{
		{`"Resource": "arn:aws:sqs"`, "arn:aws:sqs:us-east-1:1:q", true},
		{`"Resource": "arn:aws:sqs"`, "arn:aws:sqsx:us-east-1:1:q", false},
		{`"Resource": "arn:aws:sqs:us-*"`, "arn:aws:sqs:us-east-1:1:q", true},
		{`"Resource": "arn:aws:sqs:us-east-?"`, "arn:aws:sqs:us-east-:1:q", false},
		{`"Resource": "arn:aws:iam::*:user/${aws:username}"`, "arn:aws:iam::1:user/ann", true},
		{`"Resource": "arn:aws:iam::*:user/${aws:username}"`, "arn:aws:iam::1:user/anna", false},
		{`"Resource": "arn:aws:iam::*:user/${aws:userid}"`, "arn:aws:iam::1:user/", false},
		{`"NotResource": "arn:aws:iam::*:user/${aws:userid}"`, "arn:aws:iam::1:user/ann", true},
		{`"Resource": "arn:aws:iam::*:user/${aws:userid, 'ann'}"`, "arn:aws:iam::1:user/ann", true},
		{`"Resource": "arn:aws:iam::*:user/a${*}"`, "arn:aws:iam::1:user/ab", false},
		{`"Resource": "arn:aws:iam::*:user/x"`, "*", false},
		{`"Resource": []`, "*", false},
	} {
		d := parse(t, policy.Identity, allow(c.element))
		r := &policy.Request{Action: "a:b", Resource: c.resource, Keys: keys{"aws:username": {"ann"}}}
		if got := d.Evaluate(r).Effect == policy.Allow; got != c.want {
			t.Errorf("%s and %s: %v, want %v", c.element, c.resource, got, c.want)
		}
	}
}

func TestTrust(t *testing.T) {
	t.Parallel()
	d := parse(t, policy.Trust, `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "111122223333"},
		"Action": "sts:AssumeRole", "Condition": {"StringEquals": {"sts:ExternalId": "secret"}}}}`)
	r := &policy.Request{
		Principal: policy.Principal{ARN: "arn:aws:iam::111122223333:user/ann", Account: "111122223333"},
		Action:    "sts:AssumeRole", Resource: "arn:aws:iam::444455556666:role/app", Keys: keys{"sts:externalid": {"secret"}},
	}
	if got := d.Evaluate(r).Effect; got != policy.Allow {
		t.Errorf("with the external id: %v", got)
	}
	r.Keys = nil
	if got := d.Evaluate(r).Effect; got != policy.None {
		t.Errorf("without: %v", got)
	}
}

func TestContextKeys(t *testing.T) {
	t.Parallel()
	d := parse(t, policy.Identity, `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*",
		"Resource": ["arn:aws:iam::*:user/${aws:username}", "arn:aws:iam::*:user/${*}"],
		"Condition": {"StringLike": {"s3:Prefix": ["${aws:PrincipalTag/Team, 'a}b'}/${aws:userid}", "x"], "AWS:UserName": "x"},
			"Null": {"aws:TokenIssueTime": "true"}}}]}`)
	want := []string{"aws:PrincipalTag/Team", "aws:TokenIssueTime", "aws:userid", "aws:username", "s3:Prefix"}
	if got := d.ContextKeys(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPrint(t *testing.T) {
	t.Parallel()
	d := parse(t, policy.Resource, `{"Statement": [{"Resource": ["*"], "Condition": {"StringLike": {"b:b": "<&>", "a:a": ["x", "y"]}, "Bool": {"c:c": true}},
		"Action": ["bedrock:*", "sts:*"], "Principal": {"Service": "bedrock.amazonaws.com", "AWS": ["111122223333"]}, "Effect": "Deny", "Sid": "A b"},
		{"Effect": "Deny", "NotAction": "bedrock:*", "NotResource": "arn:aws:bedrock:*", "NotPrincipal": "*"}], "Id": "i", "Version": "2012-10-17"}`)
	const want = `{"Version":"2012-10-17","Id":"i","Statement":[{"Sid":"A b","Effect":"Deny",` +
		`"Principal":{"AWS":"111122223333","Service":"bedrock.amazonaws.com"},"Action":["bedrock:*","sts:*"],"Resource":"*",` +
		`"Condition":{"Bool":{"c:c":"true"},"StringLike":{"a:a":["x","y"],"b:b":"<&>"}}},` +
		`{"Effect":"Deny","NotPrincipal":"*","NotAction":"bedrock:*","NotResource":"arn:aws:bedrock:*"}]}`
	if got := string(d.Print()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	const text = "{ \"Sid\" :\n\t\"a b\\\" c\", \"é\": \"\\u00e9 \" }"
	if got, want := policy.Size([]byte(text), policy.Identity), len([]rune(`{"Sid":"a b\" c","é":"\u00e9 "}`)); got != want {
		t.Errorf("without white space %d, want %d", got, want)
	}
	if got, want := policy.Size([]byte(text), policy.Session), len([]rune(text)); got != want {
		t.Errorf("with white space %d, want %d", got, want)
	}
	for kind, want := range map[policy.Kind]int{
		policy.Identity: 6144, policy.Boundary: 6144, policy.Trust: 2048, policy.Session: 2048, policy.ServiceControl: 5120,
		policy.Resource: 20480, policy.Endpoint: 20480,
	} {
		if got := policy.MaxSize(kind); got != want {
			t.Errorf("%v: %d, want %d", kind, got, want)
		}
	}
}
