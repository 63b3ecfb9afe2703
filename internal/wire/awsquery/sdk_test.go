package awsquery

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

// client returns a real STS client whose server decodes into in and answers
// with what answer returns.
func client(t *testing.T, op *awsapi.Operation, in any, answer func() (any, error)) *sdk.Client {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var out any
		body, err := io.ReadAll(r.Body)
		if err == nil {
			var p *Params
			if p, err = Parse(r.URL.RawQuery, body); err == nil {
				if p.Action() != op.Name || p.Version() != sts.Model.APIVersion {
					err = apierr.New(apierr.CodeUnknownOperation, 404, "action %q version %q", p.Action(), p.Version())
				} else if err = Decode(&sts.Model, op, p, in); err == nil {
					out, err = answer()
				}
			}
		}
		w.Header().Set("Content-Type", ContentType)
		if err == nil {
			var xml []byte
			if xml, err = AppendOutput(nil, &sts.Model, op, out, "req-1"); err == nil {
				_, _ = w.Write(xml)
				return
			}
		}
		xml, status := AppendError(nil, &sts.Model, apierr.From(err), "req-1")
		w.WriteHeader(status)
		_, _ = w.Write(xml)
	}))
	t.Cleanup(srv.Close)
	return sdk.New(sdk.Options{
		Region:           "us-east-1",
		BaseEndpoint:     &srv.URL,
		Credentials:      credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		RetryMaxAttempts: 1,
	})
}

const nastyText = "a<b>&\"c' \t\n\r ü 😀 ]]> &amp;"

func TestGetCallerIdentity(t *testing.T) {
	t.Parallel()
	c := client(t, sts.OpGetCallerIdentity.Operation, new(sts.GetCallerIdentityInput), func() (any, error) {
		return &sts.GetCallerIdentityOutput{Account: new("123456789012"), Arn: new("arn:aws:iam::123456789012:root"), UserId: new(nastyText)}, nil
	})
	out, err := c.GetCallerIdentity(t.Context(), &sdk.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if *out.Account != "123456789012" || *out.Arn != "arn:aws:iam::123456789012:root" || *out.UserId != nastyText {
		t.Errorf("%q %q %q", *out.Account, *out.Arn, *out.UserId)
	}
}

func TestAssumeRole(t *testing.T) {
	t.Parallel()
	got := new(sts.AssumeRoleInput)
	expires := time.Date(2030, 1, 2, 3, 4, 5, 678e6, time.UTC)
	c := client(t, sts.OpAssumeRole.Operation, got, func() (any, error) {
		return &sts.AssumeRoleOutput{
			Credentials:             &sts.Credentials{AccessKeyId: new("ASIAEXAMPLE"), SecretAccessKey: new("s+/="), SessionToken: new("tok"), Expiration: &expires},
			SessionTokenUtilization: new(int32(7)),
		}, nil
	})
	out, err := c.AssumeRole(t.Context(), &sdk.AssumeRoleInput{
		RoleArn:           aws.String("arn:aws:iam::123456789012:role/r"),
		RoleSessionName:   aws.String("s"),
		DurationSeconds:   aws.Int32(900),
		Policy:            aws.String(nastyText),
		PolicyArns:        []types.PolicyDescriptorType{{Arn: aws.String("arn:1")}, {Arn: aws.String("arn:2")}},
		Tags:              []types.Tag{{Key: aws.String("k.1"), Value: aws.String("")}, {Key: aws.String("k2"), Value: aws.String("v=&+ ")}},
		TransitiveTagKeys: []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &sts.AssumeRoleInput{
		RoleArn:           new("arn:aws:iam::123456789012:role/r"),
		RoleSessionName:   new("s"),
		DurationSeconds:   new(int32(900)),
		Policy:            new(nastyText),
		PolicyArns:        []sts.PolicyDescriptorType{{Arn: new("arn:1")}, {Arn: new("arn:2")}},
		Tags:              []sts.Tag{{Key: new("k.1"), Value: new("")}, {Key: new("k2"), Value: new("v=&+ ")}},
		TransitiveTagKeys: []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if !out.Credentials.Expiration.Equal(expires) || *out.Credentials.SecretAccessKey != "s+/=" || *out.SessionTokenUtilization != 7 {
		t.Errorf("%+v %+v", out, out.Credentials)
	}
}

func TestErrorsReachTheSDK(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		code   string
		status int
	}{
		"unknown key":        {apierr.New(apierr.CodeUnrecognizedClient, 403, nastyText), "InvalidClientTokenId", 403},
		"wrong signature":    {apierr.New(apierr.CodeInvalidSignature, 403, "m"), "SignatureDoesNotMatch", 403},
		"unsigned":           {apierr.New(apierr.CodeMissingAuth, 403, "m"), "MissingAuthenticationToken", 403},
		"garbled":            {apierr.New(apierr.CodeIncompleteSignature, 403, "m"), "IncompleteSignature", 400},
		"expired credential": {apierr.New(apierr.CodeExpiredToken, 403, "m"), "ExpiredToken", 403},
		"expired token":      {apierr.New(apierr.CodeExpiredToken, 400, "m"), "ExpiredTokenException", 400},
		"denied":             {apierr.AccessDenied("m"), "AccessDenied", 403},
		"throttled":          {apierr.Throttling("m"), "Throttling", 400},
		"invalid":            {apierr.Validation("m"), "ValidationError", 400},
		"unknown action":     {apierr.New(apierr.CodeUnknownOperation, 404, "m"), "InvalidAction", 400},
		"unavailable":        {apierr.Unavailable("m"), "ServiceUnavailable", 503},
		"internal":           {errors.New("secret"), "InternalFailure", 500},
		"modelled code":      {apierr.New("MalformedPolicyDocumentException", 400, "m"), "MalformedPolicyDocument", 400},
		"modelled name":      {apierr.New("RegionDisabledException", 403, "m"), "RegionDisabledException", 403},
		"any other":          {apierr.New("FunnyException", 418, "m"), "FunnyException", 418},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cl := client(t, sts.OpGetCallerIdentity.Operation, new(sts.GetCallerIdentityInput), func() (any, error) { return nil, c.err })
			_, err := cl.GetCallerIdentity(t.Context(), &sdk.GetCallerIdentityInput{})
			got, ok := errors.AsType[smithy.APIError](err)
			if !ok {
				t.Fatal(err)
			}
			want := apierr.From(c.err).Message
			if got.ErrorCode() != c.code || got.ErrorMessage() != want {
				t.Errorf("%s %q, want %s %q", got.ErrorCode(), got.ErrorMessage(), c.code, want)
			}
			if resp, ok := errors.AsType[interface {
				error
				HTTPStatusCode() int
			}](err); !ok || resp.HTTPStatusCode() != c.status {
				t.Errorf("status of %v, want %d", err, c.status)
			}
		})
	}
}

func TestModelledErrorIsTheSDKsType(t *testing.T) {
	t.Parallel()
	cl := client(t, sts.OpAssumeRole.Operation, new(sts.AssumeRoleInput), func() (any, error) {
		return nil, apierr.New("PackedPolicyTooLargeException", 400, "too large")
	})
	_, err := cl.AssumeRole(t.Context(), &sdk.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::123456789012:role/r"), RoleSessionName: aws.String("s")})
	if e, ok := errors.AsType[*types.PackedPolicyTooLargeException](err); !ok || e.ErrorMessage() != "too large" {
		t.Error(err)
	}
}
