package access_test

import (
	"errors"
	"testing"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func TestAuthorize(t *testing.T) {
	t.Parallel()
	const (
		model   = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2"
		own     = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abcdefghijkl"
		foreign = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abcdefghijkl"
		managed = "arn:aws:iam::aws:policy/AmazonBedrockReadOnly"
	)
	p := call.Principal{Account: "000000000000", ARN: "arn:aws:iam::000000000000:root"}
	for _, c := range []struct {
		name      string
		p         call.Principal
		resources []string
		want      string // message; "" means allowed
	}{
		{"no resource", p, nil, ""},
		{"any resource", p, []string{"*"}, ""},
		{"foundation model", p, []string{model}, ""},
		{"own account", p, []string{own, model}, ""},
		{"managed by AWS", p, []string{managed}, ""},
		{"other account", p, []string{foreign},
			"User: arn:aws:iam::000000000000:root is not authorized to perform: bedrock:InvokeModel on resource: " + foreign +
				" because no resource-based policy allows the bedrock:InvokeModel action"},
		{"other account among allowed ones", p, []string{model, own, foreign},
			"User: arn:aws:iam::000000000000:root is not authorized to perform: bedrock:InvokeModel on resource: " + foreign +
				" because no resource-based policy allows the bedrock:InvokeModel action"},
		{"broken ARN", p, []string{"arn:aws:bedrock"},
			"User: arn:aws:iam::000000000000:root is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock" +
				" because no identity-based policy allows the bedrock:InvokeModel action"},
		{"no ARN", p, []string{""},
			"User: arn:aws:iam::000000000000:root is not authorized to perform: bedrock:InvokeModel on resource: " +
				" because no identity-based policy allows the bedrock:InvokeModel action"},
		{"nobody", call.Principal{}, []string{"*"}, "An anonymous caller is not authorized to perform: bedrock:InvokeModel"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := access.Authorizer{}.Authorize(t.Context(), &call.Call{Principal: c.p}, call.Need{Action: "bedrock:InvokeModel", Resources: c.resources})
			if c.want == "" {
				if err != nil {
					t.Fatalf("denied: %v", err)
				}
				return
			}
			e, ok := errors.AsType[*apierr.Error](err)
			if !ok || e.Code != apierr.CodeAccessDenied || e.HTTPStatus() != 403 || e.Message != c.want {
				t.Errorf("got %v, want AccessDeniedException %q", err, c.want)
			}
		})
	}
}
