package iam_test

import (
	"bytes"
	"encoding/csv"
	"image"
	"image/png"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

// callOf is a call of a caller, past authorisation.
func callOf(c caller) *call.Call { return &call.Call{Principal: c.who, Region: "us-east-1"} }

func TestVirtualMFADevices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.root(acctA)
	ana := w.user(t, "ana")
	made, err := do(root, api.OpCreateVirtualMFADevice, &api.CreateVirtualMFADeviceInput{
		VirtualMFADeviceName: new("phone"), Tags: []api.Tag{{Key: new("team"), Value: new("red")}},
	})
	must(t, err)
	d := made.VirtualMFADevice
	if *d.SerialNumber != "arn:aws:iam::"+acctA+":mfa/phone" || len(d.Base32StringSeed) != 64 {
		t.Errorf("serial %s, seed of %d characters", *d.SerialNumber, len(d.Base32StringSeed))
	}
	finderPatterns(t, d.QRCodePNG)
	list, err := do(root, api.OpListVirtualMFADevices, &api.ListVirtualMFADevicesInput{AssignmentStatus: new(api.AssignmentStatusTypeUnassigned)})
	must(t, err)
	if len(list.VirtualMFADevices) != 1 || list.VirtualMFADevices[0].Base32StringSeed != nil || list.VirtualMFADevices[0].QRCodePNG != nil {
		t.Errorf("listed %+v", list.VirtualMFADevices)
	}
	if _, err := do(root, api.OpEnableMFADevice, &api.EnableMFADeviceInput{
		UserName: new("ana"), SerialNumber: d.SerialNumber, AuthenticationCode1: new("000000"), AuthenticationCode2: new("000001"),
	}); code(t, err) != "InvalidAuthenticationCode" {
		t.Errorf("wrong codes: %v", err)
	}
	if got, err := do(root, api.OpListMFADevices, &api.ListMFADevicesInput{UserName: new("ana")}); err != nil || len(got.MFADevices) != 0 {
		t.Errorf("devices of ana: %+v, %v", got, err)
	}
	if got, err := do(root, api.OpListMFADevices, &api.ListMFADevicesInput{}); err != nil || len(got.MFADevices) != 0 {
		t.Errorf("devices of the root: %+v, %v", got, err)
	}
	if _, err := do(root, api.OpGetMFADevice, &api.GetMFADeviceInput{SerialNumber: d.SerialNumber, UserName: new("ana")}); code(t, err) != "NoSuchEntity" {
		t.Errorf("get what is not assigned: %v", err)
	}
	tags, err := do(root, api.OpListMFADeviceTags, &api.ListMFADeviceTagsInput{SerialNumber: d.SerialNumber})
	must(t, err)
	if len(tags.Tags) != 1 || *tags.Tags[0].Key != "team" {
		t.Errorf("tags %+v", tags.Tags)
	}
	// A user may do for herself what a policy with ${aws:username} allows, and no more.
	must(t, w.dir.PutInline(t.Context(), acctA, identity.TypeUser, "ana", "self", document(
		allow("iam:*MFADevice", "arn:aws:iam::*:user/${aws:username}"), allow("iam:CreateVirtualMFADevice", "arn:aws:iam::*:mfa/*"))))
	w.user(t, "bob")
	if _, err := do(ana, api.OpCreateVirtualMFADevice, &api.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("mine")}); err != nil {
		t.Errorf("her own device: %v", err)
	}
	if _, err := do(ana, api.OpEnableMFADevice, &api.EnableMFADeviceInput{
		UserName: new("bob"), SerialNumber: d.SerialNumber, AuthenticationCode1: new("000000"), AuthenticationCode2: new("000001"),
	}); code(t, err) != "AccessDeniedException" {
		t.Errorf("another user's device: %v", err)
	}
	if _, err := do(root, api.OpDeleteVirtualMFADevice, &api.DeleteVirtualMFADeviceInput{SerialNumber: d.SerialNumber}); err != nil {
		t.Error(err)
	}
}

// finderPatterns checks that a picture is a QR code with white around it: three of
// its corners have the square that readers look for.
func finderPatterns(t *testing.T, b []byte) {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(b))
	must(t, err)
	side := img.Bounds().Dx()
	if side != img.Bounds().Dy() || side < 100 {
		t.Fatalf("a picture of %v", img.Bounds())
	}
	dark := func(x, y int) bool {
		r, _, _, _ := img.At(x, y).RGBA()
		return r == 0
	}
	first := 0
	for !dark(first, first) {
		first++
	}
	scale := first / 4
	for _, corner := range []image.Point{{}, {X: side - 2*first - 7*scale}, {Y: side - 2*first - 7*scale}} {
		for y := range 7 {
			for x := range 7 {
				ring := max(abs(x-3), abs(y-3))
				if got := dark(corner.X+first+x*scale+scale/2, corner.Y+first+y*scale+scale/2); got != (ring != 2) {
					t.Fatalf("corner %v: module %d,%d is dark: %t", corner, x, y, got)
				}
			}
		}
	}
}

func abs(n int) int { return max(n, -n) }

func TestCredentialReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.root(acctA)
	if _, err := do(root, api.OpGetCredentialReport, &api.GetCredentialReportInput{}); code(t, err) != "ReportNotPresent" {
		t.Errorf("no report: %v", err)
	}
	ana := w.user(t, "ana")
	k, err := w.dir.CreateAccessKey(t.Context(), acctA, "ana", "us-east-1")
	must(t, err)
	ana.who.AccessKeyID = k.ID
	w.dir.Used(&ana.who, "bedrock:InvokeModel", "bedrock", "us-west-2", w.now)
	if _, err := w.dir.CreateUser(t.Context(), acctB, identity.NewUser{Name: "eve"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []api.ReportStateType{api.ReportStateTypeStarted, api.ReportStateTypeComplete} {
		out, err := do(root, api.OpGenerateCredentialReport, &api.GenerateCredentialReportInput{})
		must(t, err)
		if *out.State != want {
			t.Errorf("%s, want %s", *out.State, want)
		}
	}
	out, err := do(root, api.OpGetCredentialReport, &api.GetCredentialReportInput{})
	must(t, err)
	rows, err := csv.NewReader(bytes.NewReader(out.Content)).ReadAll()
	must(t, err)
	if len(rows) != 3 || len(rows[0]) != 22 || rows[1][0] != "<root_account>" || rows[2][0] != "ana" {
		t.Fatalf("report %q", rows)
	}
	column := func(name string) string { return rows[2][slices.Index(rows[0], name)] }
	for name, want := range map[string]string{
		"arn": ana.who.ARN, "user_creation_time": "2026-05-01T12:00:00+00:00", "password_enabled": "false", "mfa_active": "false",
		"access_key_1_active": "true", "access_key_1_last_used_date": "2026-05-01T12:00:00+00:00", "access_key_1_last_used_region": "us-west-2",
		"access_key_1_last_used_service": "bedrock", "access_key_2_active": "false", "access_key_2_last_rotated": "N/A", "cert_1_active": "false",
	} {
		if got := column(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if _, err := do(w.root(acctB), api.OpGetCredentialReport, &api.GetCredentialReportInput{}); code(t, err) != "ReportNotPresent" {
		t.Errorf("another account: %v", err)
	}
	w.now = w.now.Add(4 * time.Hour)
	if _, err := do(root, api.OpGetCredentialReport, &api.GetCredentialReportInput{}); code(t, err) != "ReportExpired" {
		t.Errorf("after four hours: %v", err)
	}
	again, err := do(root, api.OpGenerateCredentialReport, &api.GenerateCredentialReportInput{})
	must(t, err)
	if *again.State != api.ReportStateTypeStarted {
		t.Errorf("after four hours: %s", *again.State)
	}
}

func TestServiceLastAccessed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	root := w.root(acctA)
	ana, bob := w.user(t, "ana"), w.user(t, "bob")
	_, err := w.dir.CreateGroup(ctx, acctA, "team", "")
	must(t, err)
	must(t, w.dir.JoinGroup(ctx, acctA, "team", "ana"))
	must(t, w.dir.JoinGroup(ctx, acctA, "team", "bob"))
	must(t, w.dir.AttachPolicy(ctx, acctA, identity.TypeGroup, "team", readOnly))
	must(t, w.dir.PutInline(ctx, acctA, identity.TypeUser, "ana", "own", document(allow("bedrock:InvokeModel", "*"), allow("s3:GetObject", "*"))))
	w.dir.Used(&ana.who, "bedrock:InvokeModel", "bedrock", "us-east-1", w.now)
	w.dir.Used(&bob.who, "bedrock:GetFoundationModel", "bedrock", "us-west-2", w.now.Add(time.Hour))
	w.now = w.now.Add(2 * time.Hour)
	get := func(arn string, granularity api.AccessAdvisorUsageGranularityType) *api.GetServiceLastAccessedDetailsOutput {
		t.Helper()
		job, err := do(root, api.OpGenerateServiceLastAccessedDetails, &api.GenerateServiceLastAccessedDetailsInput{Arn: new(arn), Granularity: new(granularity)})
		must(t, err)
		out, err := do(root, api.OpGetServiceLastAccessedDetails, &api.GetServiceLastAccessedDetailsInput{JobId: job.JobId, MaxItems: new(int32(1000))})
		must(t, err)
		if *out.JobStatus != api.JobStatusTypeCompleted {
			t.Fatalf("job %s", *out.JobStatus)
		}
		return out
	}
	find := func(out *api.GetServiceLastAccessedDetailsOutput, namespace string) api.ServiceLastAccessed {
		t.Helper()
		i := slices.IndexFunc(out.ServicesLastAccessed, func(s api.ServiceLastAccessed) bool { return *s.ServiceNamespace == namespace })
		if i < 0 {
			t.Fatalf("%s is missing", namespace)
		}
		return out.ServicesLastAccessed[i]
	}
	b := find(get(ana.who.ARN, api.AccessAdvisorUsageGranularityTypeActionLevel), "bedrock")
	if *b.ServiceName != "Amazon Bedrock" || *b.LastAuthenticatedEntity != ana.who.ARN || *b.LastAuthenticatedRegion != "us-east-1" || *b.TotalAuthenticatedEntities != 1 {
		t.Errorf("ana and bedrock: %+v", b)
	}
	var used, granted []string
	for _, a := range b.TrackedActionsLastAccessed {
		granted = append(granted, *a.ActionName)
		if a.LastAccessedTime != nil {
			used = append(used, *a.ActionName)
		}
	}
	if !slices.Equal(used, []string{"InvokeModel"}) || !slices.Contains(granted, "GetFoundationModel") || slices.Contains(granted, "CreateGuardrail") {
		t.Errorf("used %v of %v", used, granted)
	}
	if s3 := find(get(ana.who.ARN, api.AccessAdvisorUsageGranularityTypeServiceLevel), "s3"); s3.LastAuthenticated != nil || s3.TrackedActionsLastAccessed != nil {
		t.Errorf("ana and s3: %+v", s3)
	}
	group := find(get("arn:aws:iam::"+acctA+":group/team", api.AccessAdvisorUsageGranularityTypeServiceLevel), "bedrock")
	if *group.LastAuthenticatedEntity != bob.who.ARN || *group.TotalAuthenticatedEntities != 2 {
		t.Errorf("the group and bedrock: %+v", group)
	}
	if p := find(get(readOnly, api.AccessAdvisorUsageGranularityTypeServiceLevel), "bedrock"); *p.TotalAuthenticatedEntities != 2 {
		t.Errorf("the policy and bedrock: %+v", p)
	}
	job, err := do(root, api.OpGenerateServiceLastAccessedDetails, &api.GenerateServiceLastAccessedDetailsInput{Arn: new(readOnly)})
	must(t, err)
	entities, err := do(root, api.OpGetServiceLastAccessedDetailsWithEntities, &api.GetServiceLastAccessedDetailsWithEntitiesInput{
		JobId: job.JobId, ServiceNamespace: new("bedrock"), MaxItems: new(int32(1)),
	})
	must(t, err)
	if e := entities.EntityDetailsList; len(e) != 1 || *e[0].EntityInfo.Name != "ana" || !e[0].LastAuthenticated.Equal(w.now.Add(-2*time.Hour)) || !*entities.IsTruncated {
		t.Errorf("entities %+v", entities)
	}
	if _, err := do(w.root(acctB), api.OpGetServiceLastAccessedDetails, &api.GetServiceLastAccessedDetailsInput{JobId: job.JobId}); code(t, err) != "NoSuchEntity" {
		t.Errorf("another account's job: %v", err)
	}
	granting, err := do(root, api.OpListPoliciesGrantingServiceAccess, &api.ListPoliciesGrantingServiceAccessInput{
		Arn: new(ana.who.ARN), ServiceNamespaces: []string{"bedrock", "s3", "ec2"},
	})
	must(t, err)
	var names []string
	for _, e := range granting.PoliciesGrantingServiceAccess {
		for _, p := range e.Policies {
			names = append(names, *e.ServiceNamespace+" "+*p.PolicyName+" "+string(*p.PolicyType))
		}
	}
	if !slices.Equal(names, []string{"bedrock own INLINE", "bedrock AmazonBedrockReadOnly MANAGED", "s3 own INLINE"}) {
		t.Errorf("granting %q", names)
	}
	for _, arn := range []string{"arn:aws:iam::" + acctA + ":user/nobody", "arn:aws:iam::" + acctA + ":group/nobody"} {
		if _, err := do(root, api.OpGenerateServiceLastAccessedDetails, &api.GenerateServiceLastAccessedDetailsInput{Arn: new(arn)}); code(t, err) != "NoSuchEntity" {
			t.Errorf("%s: %v", arn, err)
		}
	}
	must(t, w.dir.LeaveGroup(ctx, acctA, "team", "ana"))
	must(t, w.dir.DeleteInline(ctx, acctA, identity.TypeUser, "ana", "own"))
	gone, err := do(root, api.OpGenerateServiceLastAccessedDetails, &api.GenerateServiceLastAccessedDetailsInput{Arn: new(ana.who.ARN)})
	must(t, err)
	must(t, w.dir.DeleteUser(ctx, acctA, "ana"))
	out, err := do(root, api.OpGetServiceLastAccessedDetails, &api.GetServiceLastAccessedDetailsInput{JobId: gone.JobId})
	must(t, err)
	if *out.JobStatus != api.JobStatusTypeFailed || out.Error == nil {
		t.Errorf("of a user who is gone: %+v", out)
	}
}

// TestCredentialsByPolicy: condition keys bound how long keys may live.
func TestCredentialsByPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, "ana")
	must(t, w.dir.PutInline(t.Context(), acctA, identity.TypeUser, "ana", "keys", document(
		allow("iam:*ServiceSpecificCredential*", "*"),
		`{"Effect":"Deny","Action":"iam:CreateServiceSpecificCredential","Resource":"*","Condition":{"NumericGreaterThanIfExists":{"iam:ServiceSpecificCredentialAgeDays":"30"},"StringEquals":{"iam:ServiceSpecificCredentialServiceName":"bedrock.amazonaws.com"}}}`,
		`{"Effect":"Deny","Action":"iam:CreateServiceSpecificCredential","Resource":"*","Condition":{"Null":{"iam:ServiceSpecificCredentialAgeDays":"true"}}}`,
	)))
	create := func(days *int32) (*api.CreateServiceSpecificCredentialOutput, error) {
		return do(ana, api.OpCreateServiceSpecificCredential, &api.CreateServiceSpecificCredentialInput{
			UserName: new("ana"), ServiceName: new(identity.BedrockService), CredentialAgeDays: days,
		})
	}
	for _, days := range []*int32{nil, new(int32(31))} {
		if _, err := create(days); code(t, err) != "AccessDeniedException" {
			t.Errorf("%v days: %v", days, err)
		}
	}
	out, err := create(new(int32(30)))
	must(t, err)
	v := out.ServiceSpecificCredential
	if !strings.HasPrefix(*v.ServiceCredentialSecret, "ABSK") || v.ExpirationDate == nil || *v.Status != api.StatusTypeActive {
		t.Errorf("made %+v", v)
	}
	for name, in := range map[string]api.ListServiceSpecificCredentialsInput{
		"of a user": {UserName: new("ana")}, "of the caller": {}, "of all": {AllUsers: new(true)}, "of the service": {ServiceName: new(identity.BedrockService)},
	} {
		list, err := do(ana, api.OpListServiceSpecificCredentials, &in)
		if err != nil || len(list.ServiceSpecificCredentials) != 1 || *list.ServiceSpecificCredentials[0].ServiceSpecificCredentialId != *v.ServiceSpecificCredentialId {
			t.Errorf("%s: %+v, %v", name, list, err)
		}
	}
	if list, err := do(ana, api.OpListServiceSpecificCredentials, &api.ListServiceSpecificCredentialsInput{ServiceName: new("codecommit.amazonaws.com")}); err != nil || len(list.ServiceSpecificCredentials) != 0 {
		t.Errorf("of another service: %+v, %v", list, err)
	}
	reset, err := do(ana, api.OpResetServiceSpecificCredential, &api.ResetServiceSpecificCredentialInput{ServiceSpecificCredentialId: v.ServiceSpecificCredentialId})
	must(t, err)
	if *reset.ServiceSpecificCredential.ServiceSpecificCredentialId != *v.ServiceSpecificCredentialId || *reset.ServiceSpecificCredential.ServiceCredentialSecret == *v.ServiceCredentialSecret {
		t.Error("a reset makes another credential, or the same key")
	}
	if _, err := do(ana, api.OpUpdateServiceSpecificCredential, &api.UpdateServiceSpecificCredentialInput{
		ServiceSpecificCredentialId: v.ServiceSpecificCredentialId, Status: new(api.StatusTypeInactive),
	}); err != nil {
		t.Error(err)
	}
	if _, err := do(ana, api.OpDeleteServiceSpecificCredential, &api.DeleteServiceSpecificCredentialInput{ServiceSpecificCredentialId: v.ServiceSpecificCredentialId}); err != nil {
		t.Error(err)
	}
}

// TestAbsent: what no account here has is told to be absent.
func TestAbsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(t, "ana")
	root := w.root(acctA)
	if _, err := do(root, api.OpGetAccountPasswordPolicy, &api.GetAccountPasswordPolicyInput{}); code(t, err) != "NoSuchEntity" {
		t.Error(err)
	}
	if _, err := do(root, api.OpGetLoginProfile, &api.GetLoginProfileInput{UserName: new("ana")}); code(t, err) != "NoSuchEntity" {
		t.Error(err)
	}
	if out, err := do(root, api.OpListSSHPublicKeys, &api.ListSSHPublicKeysInput{UserName: new("ana")}); err != nil || len(out.SSHPublicKeys) != 0 {
		t.Error(err)
	}
	if out, err := do(root, api.OpListSigningCertificates, &api.ListSigningCertificatesInput{UserName: new("ana")}); err != nil || len(out.Certificates) != 0 {
		t.Error(err)
	}
	if _, err := do(root, api.OpListSSHPublicKeys, &api.ListSSHPublicKeysInput{UserName: new("nobody")}); code(t, err) != "NoSuchEntity" {
		t.Error(err)
	}
}
