package bedrock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
)

const denyAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"bedrock:InvokeModel","Resource":"*"}]}`

func TestResourcePolicy(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	own := create(t, f, "shared", modelARN)
	system := "arn:aws:bedrock:us-east-1:" + account + ":inference-profile/us." + haiku
	for _, arn := range []string{modelARN, own, system} {
		body, _, err := f.do(t, newCall("us-east-1", account), "PutResourcePolicy", &br.PutResourcePolicyInput{ResourceArn: new(arn), ResourcePolicy: new(denyAll)})
		if want := fmt.Sprintf(`{"resourceArn":%q}`, arn); err != nil || string(body) != want {
			t.Fatalf("%s: %s, %v", arn, body, err)
		}
		got := must[struct{ ResourcePolicy string }](t, f, "GetResourcePolicy", &br.GetResourcePolicyInput{ResourceArn: new(arn)})
		if got.ResourcePolicy != denyAll {
			t.Errorf("%s: %s", arn, got.ResourcePolicy)
		}
	}
	// A size variant is the model.
	if got := must[struct{ ResourcePolicy string }](t, f, "GetResourcePolicy", &br.GetResourcePolicyInput{ResourceArn: new(modelARN + ":48k")}); got.ResourcePolicy != denyAll {
		t.Errorf("size variant: %s", got.ResourcePolicy)
	}
	_, _, err := f.do(t, newCall("us-east-1", other), "GetResourcePolicy", &br.GetResourcePolicyInput{ResourceArn: new(modelARN)})
	wantError(t, err, apierr.CodeResourceNotFound, 404, "no resource policy")
	must[struct{}](t, f, "DeleteResourcePolicy", &br.DeleteResourcePolicyInput{ResourceArn: new(modelARN)})
	for op, in := range map[string]any{
		"GetResourcePolicy":    &br.GetResourcePolicyInput{ResourceArn: new(modelARN)},
		"DeleteResourcePolicy": &br.DeleteResourcePolicyInput{ResourceArn: new(modelARN)},
	} {
		_, _, err := f.do(t, newCall("us-east-1", account), op, in)
		wantError(t, err, apierr.CodeResourceNotFound, 404, "no resource policy")
	}
}

func TestResourcePolicyRefused(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	own := create(t, f, "shared", modelARN)
	for name, tc := range map[string]struct{ arn, text, part string }{
		"no ARN":           {haiku, denyAll, "resourceArn"},
		"another service":  {"arn:aws:s3:::bucket", denyAll, "resourceArn"},
		"another region":   {strings.Replace(modelARN, "us-east-1", "us-west-2", 1), denyAll, "us-west-2"},
		"unknown model":    {"arn:aws:bedrock:us-east-1::foundation-model/acme.model", denyAll, "acme.model"},
		"unknown profile":  {own[:len(own)-12] + "zzzzzzzzzz12", denyAll, "zzzzzzzzzz12"},
		"unknown geo":      {"arn:aws:bedrock:us-east-1:" + account + ":inference-profile/eu." + haiku, denyAll, "does not exist"},
		"nothing made yet": {"arn:aws:bedrock:us-east-1:" + account + ":guardrail/abcdefghij12", denyAll, "does not exist"},
		"no JSON":          {modelARN, "no policy", "resourcePolicy"},
		"no principal":     {modelARN, strings.Replace(denyAll, `"Principal":"*",`, "", 1), "resourcePolicy: Statement 1"},
		"unknown operator": {modelARN, strings.Replace(denyAll, `"Resource":"*"`, `"Resource":"*","Condition":{"StringLke":{"a":"b"}}`, 1), "StringLke"},
		"too long":         {modelARN, strings.Repeat(" ", 20480) + denyAll, "resourcePolicy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := f.do(t, newCall("us-east-1", account), "PutResourcePolicy", &br.PutResourcePolicyInput{ResourceArn: new(tc.arn), ResourcePolicy: new(tc.text)})
			wantError(t, err, apierr.CodeValidation, 400, tc.part)
		})
	}
	for op, in := range map[string]any{
		"PutResourcePolicy":    &br.PutResourcePolicyInput{ResourcePolicy: new(denyAll)},
		"GetResourcePolicy":    &br.GetResourcePolicyInput{},
		"DeleteResourcePolicy": &br.DeleteResourcePolicyInput{},
	} {
		_, _, err := f.do(t, newCall("us-east-1", account), op, in)
		wantError(t, err, apierr.CodeValidation, 400, "resourceArn")
	}
	_, _, err := f.do(t, newCall("us-east-1", account), "DeleteResourcePolicy", &br.DeleteResourcePolicyInput{ResourceArn: new(own[:len(own)-12] + "zzzzzzzzzz12")})
	wantError(t, err, apierr.CodeResourceNotFound, 404, "")
}

// A policy that its author could not take off again is refused.
func TestResourcePolicyLocks(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	in := &br.PutResourcePolicyInput{ResourceArn: new(modelARN), ResourcePolicy: new(denyAll)}
	f.locks = func(_ context.Context, c *call.Call, arn string, doc *policy.Document) (bool, error) {
		return c.Principal.Account == account && arn == modelARN && string(doc.Text()) == denyAll, nil
	}
	_, _, err := f.do(t, newCall("us-east-1", account), "PutResourcePolicy", in)
	wantError(t, err, apierr.CodeValidation, 400, "bedrock:DeleteResourcePolicy")
	f.locks = func(context.Context, *call.Call, string, *policy.Document) (bool, error) {
		return false, errors.New("trouble")
	}
	_, _, err = f.do(t, newCall("us-east-1", account), "PutResourcePolicy", in)
	wantError500(t, "PutResourcePolicy", err)
	if _, err := f.book.Policy(modelARN, account); err == nil {
		t.Error("a refused policy was put")
	}
}
