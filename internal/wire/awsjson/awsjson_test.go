package awsjson_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	org "github.com/outcrop/outcrop/internal/wire/awsapi/organizations"
	"github.com/outcrop/outcrop/internal/wire/awsjson"
	"github.com/outcrop/outcrop/internal/wire/restjson"
)

func TestTarget(t *testing.T) {
	t.Parallel()
	for header, want := range map[string][2]string{
		"AWSOrganizationsV20161128.ListRoots":                                 {"AWSOrganizationsV20161128", "ListRoots"},
		"com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents": {"com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101", "LookupEvents"},
		"":                              {},
		"ListRoots":                     {},
		".ListRoots":                    {},
		"A.":                            {},
		"A.List Roots":                  {},
		"A.ListRoots\n":                 {},
		strings.Repeat("a", 256) + ".B": {},
	} {
		prefix, op, ok := awsjson.Target(header)
		if prefix != want[0] || op != want[1] || ok != (op != "") {
			t.Errorf("%q: %q %q %t", header, prefix, op, ok)
		}
	}
}

func TestContentType(t *testing.T) {
	t.Parallel()
	for want, svc := range map[string]*awsapi.Service{
		"application/x-amz-json-1.1": &org.Model,
		"application/x-amz-json-1.0": {JSONVersion: "1.0"},
	} {
		if got := awsjson.ContentType(svc); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := awsjson.ContentType(nil); got != "application/x-amz-json-1.1" {
		t.Error(got)
	}
}

// botocore.jsonl holds requests that botocore 1.44.5 made of the parameters
// beside them.
func TestDecodeReadsBotocore(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/botocore.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	codec := awsjson.New(restjson.New())
	inputs := map[string]struct {
		op *awsapi.Operation
		in any
	}{
		"CreateOrganizationalUnit": {org.OpCreateOrganizationalUnit.Operation, new(org.CreateOrganizationalUnitInput)},
		"ListRoots":                {org.OpListRoots.Operation, new(org.ListRootsInput)},
		"CreatePolicy":             {org.OpCreatePolicy.Operation, new(org.CreatePolicyInput)},
		"DescribeOrganization":     {org.OpDescribeOrganization.Operation, new(org.DescribeOrganizationInput)},
		"InviteOrganizationToTransferResponsibility": {
			org.OpInviteOrganizationToTransferResponsibility.Operation, new(org.InviteOrganizationToTransferResponsibilityInput),
		},
	}
	n := 0
	lines := bufio.NewScanner(bytes.NewReader(text))
	for ; lines.Scan(); n++ {
		var c struct {
			Operation, Body, Target, ContentType string
			Want                                 json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		prefix, name, ok := awsjson.Target(c.Target)
		if !ok || prefix != org.Model.TargetPrefix || name != c.Operation || c.ContentType != awsjson.ContentType(&org.Model) {
			t.Errorf("target %s, content type %s", c.Target, c.ContentType)
		}
		i := inputs[name]
		if err := codec.Decode(&org.Model, i.op, []byte(c.Body), i.in); err != nil {
			t.Errorf("%s: %v", c.Body, err)
			continue
		}
		want := reflect.New(reflect.TypeOf(i.in).Elem()).Interface() // botocore's names are those of the fields
		if err := json.Unmarshal(c.Want, want); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, i.in); d != "" {
			t.Errorf("%s: %s", c.Body, d)
		}
	}
	if n != len(inputs) || lines.Err() != nil {
		t.Errorf("%d requests for %d inputs (%v)", n, len(inputs), lines.Err())
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	codec := awsjson.New(restjson.New())
	for body, want := range map[string]string{
		"{":                         "SerializationException",
		"[]":                        "must be an object",
		`{"Name":5}`:                "'name'",
		`{"Name":"a","Name":"b"}`:   "twice",
		`{"Tags":[{"Key":"k"},5]}`:  "must be an object",
		"{}x":                       "more text",
		strings.Repeat("[", 100000): "must be an object",
	} {
		err := codec.Decode(&org.Model, org.OpCreateOrganizationalUnit.Operation, []byte(body), new(org.CreateOrganizationalUnitInput))
		e, ok := errors.AsType[*apierr.Error](err)
		if !ok || e.Status != 400 || !strings.Contains(strings.ToLower(e.Error()), strings.ToLower(want)) {
			t.Errorf("%.40s: %v, want %s", body, err, want)
		}
	}
	in := new(org.ListRootsInput)
	if err := codec.Decode(&org.Model, org.OpListRoots.Operation, nil, in); err != nil || in.MaxResults != nil {
		t.Errorf("an empty body: %v", err)
	}
}

func TestAppendOutput(t *testing.T) {
	t.Parallel()
	codec := awsjson.New(restjson.New())
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	for _, c := range []struct {
		op   *awsapi.Operation
		out  any
		want string
	}{
		{org.OpDeleteOrganization.Operation, nil, ""},
		{org.OpDeleteOrganization.Operation, &org.DeleteOrganizationOutput{}, ""},
		{org.OpListRoots.Operation, &org.ListRootsOutput{Roots: []org.Root{}}, `{"Roots":[]}`},
		{
			org.OpDescribeAccount.Operation,
			&org.DescribeAccountOutput{Account: &org.Account{Id: new("123456789012"), Status: new(org.AccountStatusActive), JoinedTimestamp: &at}},
			`{"Account":{"Id":"123456789012","Status":"ACTIVE","JoinedTimestamp":1767323045.678}}`,
		},
	} {
		got, err := codec.AppendOutput(nil, &org.Model, c.op, c.out)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v; want %s", c.op.Name, got, err, c.want)
		}
	}
	if _, err := codec.AppendOutput(nil, &org.Model, org.OpListRoots.Operation, &org.DeleteOrganizationOutput{}); err == nil {
		t.Error("another operation's output is accepted")
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		svc    *awsapi.Service
		err    *apierr.Error
		status int
		want   string
	}{
		{&org.Model, apierr.New("TargetNotFoundException", 404, "no <target>"), 400, `{"__type":"TargetNotFoundException","Message":"no <target>"}`},
		{
			&org.Model, apierr.New("InvalidInputException", 400, "m").WithField("Reason", "INVALID_ENUM"), 400,
			`{"__type":"InvalidInputException","Message":"m","Reason":"INVALID_ENUM"}`,
		},
		{&org.Model, apierr.New("ServiceException", 500, "m"), 500, `{"__type":"ServiceException","Message":"m"}`},
		{&org.Model, apierr.AccessDenied("m"), 400, `{"__type":"AccessDeniedException","Message":"m"}`},
		{&org.Model, apierr.Validation("m"), 400, `{"__type":"ValidationException","message":"m"}`},
		{&org.Model, apierr.Throttling("m"), 400, `{"__type":"ThrottlingException","message":"m"}`},
		{&org.Model, apierr.Unavailable("m"), 503, `{"__type":"ServiceUnavailableException","message":"m"}`},
		{&org.Model, apierr.New(apierr.CodeNotImplemented, 501, "m"), 501, `{"__type":"NotImplementedException","message":"m"}`},
		{nil, apierr.New(apierr.CodeUnknownOperation, 404, "m"), 404, `{"__type":"UnknownOperationException","message":"m"}`},
		{nil, apierr.New(apierr.CodeInvalidSignature, 403, "a\"b"), 400, `{"__type":"InvalidSignatureException","message":"a\"b"}`},
		{nil, apierr.New(apierr.CodeRequestTooLarge, http.StatusRequestEntityTooLarge, "m"), 413, `{"__type":"RequestEntityTooLargeException","message":"m"}`},
	} {
		got := string(awsjson.AppendError(nil, c.svc, c.err))
		if got != c.want || awsjson.Status(c.svc, c.err) != c.status {
			t.Errorf("%d %s, want %d %s", awsjson.Status(c.svc, c.err), got, c.status, c.want)
		}
	}
}

// What decodes must encode to what decodes to the same.
func FuzzDecode(f *testing.F) {
	f.Add(`{"Name":"a","ParentId":"r-ab12","Tags":[{"Key":"k","Value":""}]}`)
	f.Add(`{"Tags":[],"Unknown":{"a":[1,2,{"b":null}]},"Name":"\ud83d\ude00\u0000"}`)
	f.Add(`{"Name":null}`)
	codec := awsjson.New(restjson.New())
	op := org.OpCreateOrganizationalUnit.Operation
	twin := &awsapi.Operation{Name: "Twin", Input: op.Input, Output: op.Input}
	f.Fuzz(func(t *testing.T, body string) {
		in := new(org.CreateOrganizationalUnitInput)
		if err := codec.Decode(&org.Model, op, []byte(body), in); err != nil {
			if _, ok := errors.AsType[*apierr.Error](err); !ok {
				t.Fatal(err)
			}
			return
		}
		text, err := codec.AppendOutput(nil, &org.Model, twin, in)
		if err != nil {
			t.Fatal(err)
		}
		again := new(org.CreateOrganizationalUnitInput)
		if err := codec.Decode(&org.Model, op, text, again); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if d := cmp.Diff(in, again); d != "" {
			t.Fatal(d)
		}
	})
}
