package awsquery

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/awsapi/iam"
	"github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

// inputs makes the input structs of the recorded requests.
func inputs() map[*awsapi.Operation]any {
	return map[*awsapi.Operation]any{
		iam.OpCreateRole.Operation:                      new(iam.CreateRoleInput),
		iam.OpCreateUser.Operation:                      new(iam.CreateUserInput),
		iam.OpTagUser.Operation:                         new(iam.TagUserInput),
		iam.OpUntagRole.Operation:                       new(iam.UntagRoleInput),
		iam.OpListUsers.Operation:                       new(iam.ListUsersInput),
		iam.OpListPolicies.Operation:                    new(iam.ListPoliciesInput),
		iam.OpUpdateAccessKey.Operation:                 new(iam.UpdateAccessKeyInput),
		iam.OpCreatePolicyVersion.Operation:             new(iam.CreatePolicyVersionInput),
		iam.OpCreateServiceSpecificCredential.Operation: new(iam.CreateServiceSpecificCredentialInput),
		iam.OpEnableMFADevice.Operation:                 new(iam.EnableMFADeviceInput),
		iam.OpCreateOpenIDConnectProvider.Operation:     new(iam.CreateOpenIDConnectProviderInput),
		iam.OpSimulateCustomPolicy.Operation:            new(iam.SimulateCustomPolicyInput),
		iam.OpGetAccountAuthorizationDetails.Operation:  new(iam.GetAccountAuthorizationDetailsInput),
		sts.OpAssumeRole.Operation:                      new(sts.AssumeRoleInput),
		sts.OpAssumeRoleWithWebIdentity.Operation:       new(sts.AssumeRoleWithWebIdentityInput),
		sts.OpGetCallerIdentity.Operation:               new(sts.GetCallerIdentityInput),
	}
}

// botocore.jsonl holds forms that botocore 1.44.5 made of the parameters beside them.
func TestDecodeReadsBotocore(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/botocore.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	structs := inputs()
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var c struct {
			Service, Operation, Body string
			Want                     map[string]any
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		svc := map[string]*awsapi.Service{"iam": &iam.Model, "sts": &sts.Model}[c.Service]
		p, err := Parse("", []byte(c.Body))
		if err != nil || p.Action() != c.Operation || p.Version() != svc.APIVersion {
			t.Errorf("%s: %v", c.Body, err)
			continue
		}
		for i := range svc.Operations {
			op := &svc.Operations[i]
			if op.Name != c.Operation {
				continue
			}
			in := structs[op]
			if err := Decode(svc, op, p, in); err != nil {
				t.Errorf("%s: %v", c.Body, err)
			}
			if d := cmp.Diff(c.Want, plain(svc, op.Input, reflect.ValueOf(in))); d != "" {
				t.Errorf("%s: %s", c.Body, d)
			}
			delete(structs, op)
		}
	}
	if len(structs) > 0 || lines.Err() != nil {
		t.Errorf("%d operations have no recorded request (%v)", len(structs), lines.Err())
	}
}

// plain turns a generated value into what encoding/json makes of botocore's
// parameters.
func plain(svc *awsapi.Service, id awsapi.ShapeID, v reflect.Value) any {
	v = reflect.Indirect(v)
	s := svc.Shape(id)
	switch s.Kind {
	case awsapi.Structure:
		m := map[string]any{}
		for i := range s.Members {
			if f := v.Field(i); !isNil(f) {
				m[s.Members[i].Name] = plain(svc, s.Members[i].Shape, f)
			}
		}
		return m
	case awsapi.List:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plain(svc, s.Elem, v.Index(i))
		}
		return list
	case awsapi.Boolean:
		return v.Bool()
	case awsapi.Integer:
		return float64(v.Int())
	}
	return v.String()
}

const document = "{\"Version\":\"2012-10-17\",\n\"Statement\":[{\"Action\":\"s3:*\", \"Resource\":\"a/b~c_d-e.f\"}]}"

// What IAM's responses have that STS's have not: policy documents that are
// percent-encoded, operations without output, base64, maps, empty lists.
func TestAppendOutputOfIAM(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const encoded = "%7B%22Version%22%3A%222012-10-17%22%2C%0A%22Statement%22%3A%5B%7B%22Action%22%3A%22s3%3A%2A%22%2C%20%22Resource%22%3A%22a%2Fb~c_d-e.f%22%7D%5D%7D"
	for _, c := range []struct {
		op   *awsapi.Operation
		out  any
		want string
	}{
		{iam.OpDeleteUser.Operation, nil, ""},
		{iam.OpDeleteUser.Operation, &iam.DeleteUserOutput{}, ""},
		{iam.OpUpdateRole.Operation, &iam.UpdateRoleOutput{}, "<UpdateRoleResult></UpdateRoleResult>"},
		{
			iam.OpListUsers.Operation,
			&iam.ListUsersOutput{Users: []iam.User{}, IsTruncated: new(false)},
			"<ListUsersResult><Users></Users><IsTruncated>false</IsTruncated></ListUsersResult>",
		},
		{
			iam.OpGetRole.Operation,
			&iam.GetRoleOutput{Role: &iam.Role{RoleName: new("r"), CreateDate: &at, AssumeRolePolicyDocument: new(document), Tags: []iam.Tag{{Key: new("k"), Value: new("")}}}},
			"<GetRoleResult><Role><RoleName>r</RoleName><CreateDate>2026-01-02T03:04:05Z</CreateDate><AssumeRolePolicyDocument>" + encoded +
				"</AssumeRolePolicyDocument><Tags><member><Key>k</Key><Value></Value></member></Tags></Role></GetRoleResult>",
		},
		{
			iam.OpGetPolicyVersion.Operation,
			&iam.GetPolicyVersionOutput{PolicyVersion: &iam.PolicyVersion{Document: new(document), IsDefaultVersion: new(true)}},
			"<GetPolicyVersionResult><PolicyVersion><Document>" + encoded + "</Document><IsDefaultVersion>true</IsDefaultVersion></PolicyVersion></GetPolicyVersionResult>",
		},
		{
			iam.OpGetCredentialReport.Operation,
			&iam.GetCredentialReportOutput{Content: []byte("user,arn\n"), ReportFormat: new(iam.ReportFormatTypeTextCsv)},
			"<GetCredentialReportResult><Content>" + base64.StdEncoding.EncodeToString([]byte("user,arn\n")) + "</Content><ReportFormat>text/csv</ReportFormat></GetCredentialReportResult>",
		},
		{
			iam.OpSimulateCustomPolicy.Operation,
			&iam.SimulateCustomPolicyOutput{EvaluationResults: []iam.EvaluationResult{{EvalDecisionDetails: map[string]iam.PolicyEvaluationDecisionType{"b": "allowed", "a": "implicitDeny"}}}},
			"<SimulateCustomPolicyResult><EvaluationResults><member><EvalDecisionDetails><entry><key>a</key><value>implicitDeny</value></entry>" +
				"<entry><key>b</key><value>allowed</value></entry></EvalDecisionDetails></member></EvaluationResults></SimulateCustomPolicyResult>",
		},
	} {
		got, err := AppendOutput(nil, &iam.Model, c.op, c.out, "r-1")
		if err != nil {
			t.Errorf("%s: %v", c.op.Name, err)
			continue
		}
		want := "<" + c.op.Name + `Response xmlns="https://iam.amazonaws.com/doc/2010-05-08/">` + c.want + "<ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></" + c.op.Name + "Response>"
		if d := cmp.Diff(want, string(got)); d != "" {
			t.Errorf("%s: %s", c.op.Name, d)
		}
	}
}

// A policy document of a request is as the caller wrote it.
func TestDecodeLeavesDocumentsAlone(t *testing.T) {
	t.Parallel()
	p, err := Parse("", []byte("PolicyDocument=%257B%7D"))
	if err != nil {
		t.Fatal(err)
	}
	in := new(iam.CreatePolicyInput)
	if err := Decode(&iam.Model, iam.OpCreatePolicy.Operation, p, in); err != nil || *in.PolicyDocument != "%7B}" {
		t.Errorf("%v, %v", in.PolicyDocument, err)
	}
}

func TestErrorsOfIAM(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"NoSuchEntityException":   "<Code>NoSuchEntity</Code>", // the name of the shape
		"NoSuchEntity":            "<Code>NoSuchEntity</Code>", // the code itself
		"DeleteConflictException": "<Code>DeleteConflict</Code>",
		"ServiceFailureException": "<Code>ServiceFailure</Code>",
	} {
		got, status := AppendError(nil, &iam.Model, apierr.New(code, 404, "m"), "r")
		if status != 404 || !strings.Contains(string(got), want) || !strings.Contains(string(got), `xmlns="https://iam.amazonaws.com/doc/2010-05-08/"`) {
			t.Errorf("%s: %d %s", code, status, got)
		}
	}
}
