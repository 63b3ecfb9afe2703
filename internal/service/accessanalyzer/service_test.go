package accessanalyzer_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/analyze"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/keys/keystest"
	"github.com/outcrop/outcrop/internal/record/recordtest"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/service/accessanalyzer"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/accessanalyzer"
)

const (
	home     = "111122223333"
	ownTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:AssumeRole"}]}`
)

// world is a service over stores in memory, with a clock that is set.
type world struct {
	*identity.Directory
	routes []service.Route
	now    time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	root, err := keys.LoadRootKey(filepath.Join(t.TempDir(), keys.RootKeyFile))
	must(t, err)
	w := &world{now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return w.now }
	records := new(recordtest.Store)
	w.Directory, err = identity.Open(t.Context(), identity.Config{
		Records: records, Keys: keys.New(keys.Config{Store: new(keystest.Store), Root: root, Now: now}), Root: root, Management: home, Now: now,
	})
	must(t, err)
	book, err := resource.Open(t.Context(), resource.Config{Records: records, Now: now})
	must(t, err)
	registry, err := analyze.OpenRegistry(t.Context(), records, now)
	must(t, err)
	w.routes = accessanalyzer.New(accessanalyzer.Config{
		Analyzer: analyze.New(analyze.Config{Directory: w.Directory, Resources: book, Now: now}), Registry: registry, Tags: book, Now: now,
	}).Routes()
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ask calls an operation as the root of an account, as the gateway does.
func ask[In, Out any](t *testing.T, w *world, op awsapi.Op[In, Out], account string, in *In) (*Out, *call.Call, error) {
	t.Helper()
	c := &call.Call{Region: "us-east-1", Principal: call.Principal{Type: call.Root, Account: account, ARN: "arn:aws:iam::" + account + ":root"}}
	i := slices.IndexFunc(w.routes, func(r service.Route) bool { return r.Operation.Name == op.Operation.Name })
	if i < 0 {
		t.Fatalf("%s is not bound", op.Operation.Name)
	}
	r := w.routes[i]
	if r.Resources != nil {
		if _, err := r.Resources(context.Background(), c, in); err != nil {
			return nil, c, err
		}
	}
	out, err := r.Serve(t.Context(), c, in)
	if err != nil {
		return nil, c, err
	}
	return out.(*Out), c, nil
}

func answer[In, Out any](t *testing.T, w *world, op awsapi.Op[In, Out], in *In) *Out {
	t.Helper()
	out, _, err := ask(t, w, op, home, in)
	must(t, err)
	return out
}

// refused expects an error whose modelled members are all there.
func refused[In, Out any](t *testing.T, w *world, op awsapi.Op[In, Out], in *In, code, part string) {
	t.Helper()
	_, _, err := ask(t, w, op, home, in)
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok || e.Code != code || !strings.Contains(e.Message, part) {
		t.Errorf("%s: %v, want %s with %q", op.Operation.Name, err, code, part)
		return
	}
	modelled := slices.ContainsFunc(op.Operation.Errors, func(id awsapi.ShapeID) bool { return op.Service.Shapes[id].Name == code })
	if !modelled || e.Fields["reason"] == "" && e.Fields["resourceId"] == "" && code != "InvalidParameterException" {
		t.Errorf("%s: %s is modelled %v, with %v", op.Operation.Name, code, modelled, e.Fields)
	}
}

const (
	invalid  = "ValidationException"
	notFound = "ResourceNotFoundException"
)

func (w *world) analyzer(t *testing.T, name string, typ api.Type, cfg *api.AnalyzerConfiguration) string {
	t.Helper()
	return *answer(t, w, api.OpCreateAnalyzer, &api.CreateAnalyzerInput{AnalyzerName: &name, Type: &typ, Configuration: cfg}).Arn
}

func age(days int32) *api.AnalyzerConfiguration {
	return &api.AnalyzerConfiguration{UnusedAccess: &api.UnusedAccessConfiguration{UnusedAccessAge: &days}}
}

func TestAnalyzers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := &api.CreateAnalyzerInput{AnalyzerName: new("outside"), Type: new(api.TypeAccount), Tags: map[string]string{"team": "a"}}
	out, c, err := ask(t, w, api.OpCreateAnalyzer, home, in)
	must(t, err)
	const arn = "arn:aws:access-analyzer:us-east-1:111122223333:analyzer/outside"
	if *out.Arn != arn || fmt.Sprint(c.Needs) != "[{access-analyzer:TagResource ["+arn+"] map[]}]" || c.Keys["aws:requesttag/team"][0] != "a" {
		t.Errorf("made %s, needs %v, keys %v", *out.Arn, c.Needs, c.Keys)
	}
	refused(t, w, api.OpCreateAnalyzer, in, "ConflictException", "outside")
	refused(t, w, api.OpCreateAnalyzer, &api.CreateAnalyzerInput{AnalyzerName: new("more"), Type: new(api.TypeAccount)}, "ServiceQuotaExceededException", "ACCOUNT")
	for part, in := range map[string]*api.CreateAnalyzerInput{
		"type:":           {AnalyzerName: new("x"), Type: new(api.TypeOrganization)},
		"archiveRules":    {AnalyzerName: new("x"), Type: new(api.TypeAccountUnusedAccess), ArchiveRules: []api.InlineArchiveRule{{}}},
		"unusedAccessAge": {AnalyzerName: new("x"), Type: new(api.TypeAccountUnusedAccess), Configuration: age(366)},
		"must be 1":       {AnalyzerName: new("x"), Type: new(api.TypeAccountUnusedAccess), Configuration: age(0)},
		"unusedAccess":    {AnalyzerName: new("x"), Type: new(api.TypeAccountUnusedAccess), Configuration: &api.AnalyzerConfiguration{}},
		"exclusions":      {AnalyzerName: new("x"), Type: new(api.TypeAccountUnusedAccess), Configuration: &api.AnalyzerConfiguration{UnusedAccess: &api.UnusedAccessConfiguration{AnalysisRule: &api.AnalysisRule{Exclusions: []api.AnalysisRuleCriteria{{}}}}}},
		"configuration":   {AnalyzerName: new("x"), Type: new(api.TypeAccount), Configuration: age(1)},
		"reserved":        {AnalyzerName: new("x"), Type: new(api.TypeAccountUnusedAccess), Tags: map[string]string{"aws:x": ""}},
	} {
		refused(t, w, api.OpCreateAnalyzer, in, invalid, part)
	}
	many := map[string]string{}
	for i := range 51 {
		many[fmt.Sprint(i)] = ""
	}
	refused(t, w, api.OpCreateAnalyzer, &api.CreateAnalyzerInput{AnalyzerName: new("x"), Type: new(api.TypeAccountUnusedAccess), Tags: many}, invalid, "50")

	idle := w.analyzer(t, "idle", api.TypeAccountUnusedAccess, age(30))
	got := answer(t, w, api.OpGetAnalyzer, &api.GetAnalyzerInput{AnalyzerName: new("idle")}).Analyzer
	if *got.Arn != idle || *got.Status != api.AnalyzerStatusActive || *got.Configuration.UnusedAccess.UnusedAccessAge != 30 || !got.CreatedAt.Equal(w.now) {
		t.Errorf("got %+v", got)
	}
	answer(t, w, api.OpUpdateAnalyzer, &api.UpdateAnalyzerInput{AnalyzerName: new("idle"), Configuration: age(60)})
	if got := answer(t, w, api.OpGetAnalyzer, &api.GetAnalyzerInput{AnalyzerName: new("idle")}).Analyzer; *got.Configuration.UnusedAccess.UnusedAccessAge != 60 {
		t.Errorf("after the update %+v", got.Configuration.UnusedAccess)
	}
	refused(t, w, api.OpUpdateAnalyzer, &api.UpdateAnalyzerInput{AnalyzerName: new("outside"), Configuration: age(60)}, invalid, "has none")
	list := answer(t, w, api.OpListAnalyzers, &api.ListAnalyzersInput{MaxResults: new(int32(1))})
	if len(list.Analyzers) != 1 || *list.Analyzers[0].Name != "idle" || list.NextToken == nil {
		t.Fatalf("first page %+v", list)
	}
	list = answer(t, w, api.OpListAnalyzers, &api.ListAnalyzersInput{NextToken: list.NextToken})
	if len(list.Analyzers) != 1 || *list.Analyzers[0].Name != "outside" || list.NextToken != nil || list.Analyzers[0].Tags["team"] != "a" {
		t.Errorf("second page %+v", list)
	}
	if l := answer(t, w, api.OpListAnalyzers, &api.ListAnalyzersInput{Type: new(api.TypeAccount)}); len(l.Analyzers) != 1 {
		t.Errorf("of one type %+v", l)
	}
	for _, bad := range []string{"x", "LTE"} {
		refused(t, w, api.OpListAnalyzers, &api.ListAnalyzersInput{NextToken: &bad}, invalid, "nextToken")
	}
	for _, bad := range []int32{0, 1001} {
		refused(t, w, api.OpListAnalyzers, &api.ListAnalyzersInput{MaxResults: &bad}, invalid, "maxResults")
	}

	answer(t, w, api.OpTagResource, &api.TagResourceInput{ResourceArn: new(arn), Tags: map[string]string{"stage": "dev"}})
	answer(t, w, api.OpUntagResource, &api.UntagResourceInput{ResourceArn: new(arn), TagKeys: []string{"team"}})
	if tags := answer(t, w, api.OpListTagsForResource, &api.ListTagsForResourceInput{ResourceArn: new(arn)}).Tags; len(tags) != 1 || tags["stage"] != "dev" {
		t.Errorf("tags %v", tags)
	}
	refused(t, w, api.OpTagResource, &api.TagResourceInput{ResourceArn: new(arn), Tags: map[string]string{"AWS:x": ""}}, invalid, "reserved")
	for _, bad := range []string{"x", arn + "x", strings.Replace(arn, "us-east-1", "eu-west-1", 1), strings.Replace(arn, home, "444455556666", 1), strings.Replace(arn, "analyzer/", "other/", 1), strings.Replace(arn, "access-analyzer", "bedrock", 1)} {
		refused(t, w, api.OpListTagsForResource, &api.ListTagsForResourceInput{ResourceArn: &bad}, notFound, bad)
		refused(t, w, api.OpListFindingsV2, &api.ListFindingsV2Input{AnalyzerArn: &bad}, notFound, bad)
		refused(t, w, api.OpGetFindingV2, &api.GetFindingV2Input{AnalyzerArn: &bad, Id: new("x")}, notFound, bad)
		refused(t, w, api.OpTagResource, &api.TagResourceInput{ResourceArn: &bad}, notFound, bad)
		refused(t, w, api.OpUntagResource, &api.UntagResourceInput{ResourceArn: &bad}, notFound, bad)
	}
	if out, _, err := ask(t, w, api.OpListAnalyzers, "444455556666", &api.ListAnalyzersInput{}); err != nil || len(out.Analyzers) != 0 {
		t.Errorf("another account sees %+v, %v", out, err)
	}
	answer(t, w, api.OpDeleteAnalyzer, &api.DeleteAnalyzerInput{AnalyzerName: new("outside")})
	refused(t, w, api.OpDeleteAnalyzer, &api.DeleteAnalyzerInput{AnalyzerName: new("outside")}, notFound, "outside")
	refused(t, w, api.OpGetAnalyzer, &api.GetAnalyzerInput{AnalyzerName: new("outside")}, notFound, "outside")
	refused(t, w, api.OpUpdateAnalyzer, &api.UpdateAnalyzerInput{AnalyzerName: new("outside")}, notFound, "outside")
	again := w.analyzer(t, "outside", api.TypeAccount, nil)
	if tags := answer(t, w, api.OpListTagsForResource, &api.ListTagsForResourceInput{ResourceArn: &again}).Tags; len(tags) != 0 {
		t.Errorf("a new analyzer has the tags of an old one: %v", tags)
	}
}

func TestExternalFindings(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	trust := func(principal, more string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"` + more + `}]}`
	}
	for name, text := range map[string]string{
		"own": ownTrust, "service": trust(`{"Service":"bedrock.amazonaws.com"}`, ""), "all": trust(`"*"`, ""),
		"partner": trust(`{"AWS":"444455556666"}`, `,"Condition":{"StringEquals":{"sts:ExternalId":["a","b"]}}`),
		"issuer":  strings.Replace(trust(`{"Federated":"arn:aws:iam::111122223333:oidc-provider/login.example.com"}`, ""), "AssumeRole", "AssumeRoleWithWebIdentity", 1),
	} {
		_, err := w.CreateRole(ctx, home, identity.NewRole{Name: name, Trust: text})
		must(t, err)
	}
	w.now = w.now.Add(time.Hour)
	arn := w.analyzer(t, "a", api.TypeAccount, nil)
	find := func(filter map[string]api.Criterion) []string {
		t.Helper()
		out := answer(t, w, api.OpListFindingsV2, &api.ListFindingsV2Input{AnalyzerArn: &arn, Filter: filter, Sort: &api.SortCriteria{AttributeName: new("resource")}})
		var names []string
		for _, f := range out.Findings {
			if *f.Status != api.FindingStatusActive || *f.FindingType != api.FindingTypeExternalAccess || *f.ResourceType != api.ResourceTypeAwsIamRole || !f.CreatedAt.Equal(w.now) {
				t.Errorf("finding %+v", f)
			}
			names = append(names, (*f.Resource)[strings.LastIndex(*f.Resource, "/")+1:])
		}
		return names
	}
	for _, c := range []struct {
		filter map[string]api.Criterion
		want   string
	}{
		{nil, "all issuer partner"},
		{map[string]api.Criterion{"isPublic": {Eq: []string{"true"}}}, "all"},
		{map[string]api.Criterion{"isPublic": {Neq: []string{"true"}}, "status": {Eq: []string{"ACTIVE"}}}, "issuer partner"},
		{map[string]api.Criterion{"principal.AWS": {Exists: new(true)}}, "all partner"},
		{map[string]api.Criterion{"principal.Federated": {Contains: []string{"login.example.com"}}}, "issuer"},
		{map[string]api.Criterion{"action": {Eq: []string{"sts:AssumeRoleWithWebIdentity"}}}, "issuer"},
		{map[string]api.Criterion{"status": {Eq: []string{"ARCHIVED", "RESOLVED"}}}, ""},
	} {
		if got := strings.Join(find(c.filter), " "); got != c.want {
			t.Errorf("%v finds %q, want %q", c.filter, got, c.want)
		}
	}
	refused(t, w, api.OpListFindingsV2, &api.ListFindingsV2Input{AnalyzerArn: &arn, Filter: map[string]api.Criterion{"colour": {}}}, invalid, "filter.colour")
	refused(t, w, api.OpListFindingsV2, &api.ListFindingsV2Input{AnalyzerArn: &arn, Sort: &api.SortCriteria{AttributeName: new("colour")}}, invalid, "colour")
	down := answer(t, w, api.OpListFindingsV2, &api.ListFindingsV2Input{AnalyzerArn: &arn, MaxResults: new(int32(1)), Sort: &api.SortCriteria{AttributeName: new("resource"), OrderBy: new(api.OrderByDesc)}})
	f := down.Findings[0]
	if !strings.HasSuffix(*f.Resource, "/partner") || down.NextToken == nil {
		t.Fatalf("sorted downwards %+v", down)
	}
	got := answer(t, w, api.OpGetFindingV2, &api.GetFindingV2Input{AnalyzerArn: &arn, Id: f.Id})
	d := got.FindingDetails[0].ExternalAccessDetails
	if d.Principal["AWS"] != "444455556666" || *d.IsPublic || d.Condition["sts:ExternalId"] != "a,b" || d.Action[0] != "sts:AssumeRole" {
		t.Errorf("details %+v", d)
	}
	_, err := w.ChangeRole(ctx, home, "partner", identity.RoleChange{Trust: new(ownTrust)})
	must(t, err)
	refused(t, w, api.OpGetFindingV2, &api.GetFindingV2Input{AnalyzerArn: &arn, Id: f.Id}, notFound, *f.Id)
}

func TestUnusedFindings(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	user, err := w.CreateUser(ctx, home, identity.NewUser{Name: "ana"})
	must(t, err)
	key, err := w.CreateAccessKey(ctx, home, "ana", "us-east-1")
	must(t, err)
	_, err = w.CreateAccessKey(ctx, home, "", "us-east-1") // of the root
	must(t, err)
	idle, err := w.CreateRole(ctx, home, identity.NewRole{Name: "idle", Trust: ownTrust})
	must(t, err)
	must(t, w.PutInline(ctx, home, identity.TypeUser, "ana", "p", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["bedrock:InvokeModel","bedrock:CountTokens","iam:GetUser","iam:ListUsers"],"Resource":"*"}]}`))
	arn := w.analyzer(t, "idle", api.TypeAccountUnusedAccess, age(30))
	p := &call.Principal{Type: call.User, Account: home, UserID: user.ID, ARN: user.ARN()}
	used := w.now
	w.Acted(p, used, call.Need{Action: "iam:GetUser"})
	w.now = w.now.Add(40 * 24 * time.Hour)
	w.Used(p, "bedrock:InvokeModel", "bedrock", "us-east-1", w.now)
	w.Acted(p, w.now, call.Need{Action: "bedrock:InvokeModel"})
	out := answer(t, w, api.OpListFindingsV2, &api.ListFindingsV2Input{AnalyzerArn: &arn, Sort: &api.SortCriteria{AttributeName: new("findingType")}})
	if len(out.Findings) != 3 {
		t.Fatalf("found %d", len(out.Findings))
	}
	began := used.Add(30 * 24 * time.Hour)
	for i, want := range []struct {
		typ      api.FindingType
		resource string
	}{
		{api.FindingTypeUnusedIAMRole, idle.ARN()}, {api.FindingTypeUnusedIAMUserAccessKey, user.ARN()}, {api.FindingTypeUnusedPermission, user.ARN()},
	} {
		f := out.Findings[i]
		if *f.FindingType != want.typ || *f.Resource != want.resource || !f.CreatedAt.Equal(began) || !f.AnalyzedAt.Equal(w.now) {
			t.Errorf("finding %d: %s %s, created %v", i, *f.FindingType, *f.Resource, f.CreatedAt)
		}
		details := answer(t, w, api.OpGetFindingV2, &api.GetFindingV2Input{AnalyzerArn: &arn, Id: f.Id}).FindingDetails
		switch want.typ {
		case api.FindingTypeUnusedIAMRole:
			if details[0].UnusedIamRoleDetails.LastAccessed != nil {
				t.Errorf("details %+v", details)
			}
		case api.FindingTypeUnusedIAMUserAccessKey:
			if *details[0].UnusedIamUserAccessKeyDetails.AccessKeyId != key.ID {
				t.Errorf("details %+v", details)
			}
		default:
			b, i := details[0].UnusedPermissionDetails, details[1].UnusedPermissionDetails
			if len(details) != 2 || *b.ServiceNamespace != "bedrock" || len(b.Actions) != 1 || b.LastAccessed != nil ||
				*i.ServiceNamespace != "iam" || len(i.Actions) != 2 || !i.LastAccessed.Equal(used) || *i.Actions[0].Action != "GetUser" || !i.Actions[0].LastAccessed.Equal(used) {
				t.Errorf("details %+v %+v", b, i)
			}
			one := answer(t, w, api.OpGetFindingV2, &api.GetFindingV2Input{AnalyzerArn: &arn, Id: f.Id, MaxResults: new(int32(1))})
			if len(one.FindingDetails) != 1 || one.NextToken == nil {
				t.Errorf("a page of details %+v", one)
			}
		}
	}
}

func TestChecks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	doc := func(s string) *string { return new(`{"Version":"2012-10-17","Statement":[{` + s + `}]}`) }
	get := doc(`"Sid":"get","Effect":"Allow","Action":"bedrock:Get*","Resource":"*"`)
	all := doc(`"Sid":"all","Effect":"Allow","Action":"bedrock:*","Resource":"*"`)
	public := new(strings.Replace(ownTrust, `{"AWS":"arn:aws:iam::111122223333:root"}`, `"*"`, 1))
	identityPolicy, resourcePolicy := api.AccessCheckPolicyTypeIdentityPolicy, api.AccessCheckPolicyTypeResourcePolicy

	if out := answer(t, w, api.OpCheckNoNewAccess, &api.CheckNoNewAccessInput{NewPolicyDocument: get, ExistingPolicyDocument: all, PolicyType: &identityPolicy}); *out.Result != api.CheckNoNewAccessResultPass || len(out.Reasons) != 0 {
		t.Errorf("less: %+v", out)
	}
	out := answer(t, w, api.OpCheckNoNewAccess, &api.CheckNoNewAccessInput{NewPolicyDocument: all, ExistingPolicyDocument: get, PolicyType: &identityPolicy})
	if *out.Result != api.CheckNoNewAccessResultFail || *out.Reasons[0].StatementId != "all" || *out.Reasons[0].StatementIndex != 0 {
		t.Errorf("more: %+v", out)
	}
	if out := answer(t, w, api.OpCheckNoNewAccess, &api.CheckNoNewAccessInput{NewPolicyDocument: public, ExistingPolicyDocument: new(ownTrust), PolicyType: &resourcePolicy}); *out.Result != api.CheckNoNewAccessResultFail {
		t.Errorf("trust policies: %+v", out)
	}
	not := func(d *string, a ...api.Access) *api.CheckAccessNotGrantedInput {
		return &api.CheckAccessNotGrantedInput{PolicyDocument: d, Access: a, PolicyType: &identityPolicy}
	}
	if out := answer(t, w, api.OpCheckAccessNotGranted, not(get, api.Access{Actions: []string{"bedrock:InvokeModel"}})); *out.Result != api.CheckAccessNotGrantedResultPass {
		t.Errorf("not granted: %+v", out)
	}
	if out := answer(t, w, api.OpCheckAccessNotGranted, not(all, api.Access{Actions: []string{"bedrock:InvokeModel"}})); *out.Result != api.CheckAccessNotGrantedResultFail || *out.Reasons[0].StatementIndex != 0 {
		t.Errorf("granted: %+v", out)
	}
	trust := api.AccessCheckResourceTypeAwsIamAssumeRolePolicyDocument
	if out := answer(t, w, api.OpCheckNoPublicAccess, &api.CheckNoPublicAccessInput{PolicyDocument: public, ResourceType: &trust}); *out.Result != api.CheckNoPublicAccessResultFail || len(out.Reasons) != 1 {
		t.Errorf("public: %+v", out)
	}
	if out := answer(t, w, api.OpCheckNoPublicAccess, &api.CheckNoPublicAccessInput{PolicyDocument: new(ownTrust), ResourceType: &trust}); *out.Result != api.CheckNoPublicAccessResultPass {
		t.Errorf("not public: %+v", out)
	}
	const parameter = "InvalidParameterException"
	refused(t, w, api.OpCheckNoNewAccess, &api.CheckNoNewAccessInput{NewPolicyDocument: new("{"), ExistingPolicyDocument: get, PolicyType: &identityPolicy}, parameter, "newPolicyDocument: ")
	refused(t, w, api.OpCheckNoNewAccess, &api.CheckNoNewAccessInput{NewPolicyDocument: get, ExistingPolicyDocument: get, PolicyType: &resourcePolicy}, parameter, "Principal")
	refused(t, w, api.OpCheckNoNewAccess, &api.CheckNoNewAccessInput{NewPolicyDocument: get, ExistingPolicyDocument: new("[]"), PolicyType: &identityPolicy}, parameter, "existingPolicyDocument: ")
	refused(t, w, api.OpCheckAccessNotGranted, not(get), invalid, "access: ")
	refused(t, w, api.OpCheckAccessNotGranted, not(get, api.Access{}), invalid, "access.0")
	refused(t, w, api.OpCheckAccessNotGranted, not(get, api.Access{Actions: []string{"Invoke"}}), parameter, "access.0.actions.0")
	refused(t, w, api.OpCheckAccessNotGranted, not(new("{}"), api.Access{}), parameter, "Statement")
	refused(t, w, api.OpCheckNoPublicAccess, &api.CheckNoPublicAccessInput{PolicyDocument: get, ResourceType: &trust}, parameter, "policyDocument")
	long := new(strings.Repeat(" ", 20481))
	refused(t, w, api.OpCheckNoPublicAccess, &api.CheckNoPublicAccessInput{PolicyDocument: long, ResourceType: &trust}, invalid, "20480")

	v := func(d string, p api.PolicyType, r *api.ValidatePolicyResourceType) *api.ValidatePolicyInput {
		return &api.ValidatePolicyInput{PolicyDocument: &d, PolicyType: &p, ValidatePolicyResourceType: r}
	}
	text := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["bedrock:InvokeModle","*"],"Resource":"*"}}`
	found := answer(t, w, api.OpValidatePolicy, v(text, api.PolicyTypeIdentityPolicy, nil)).Findings
	var codes []string
	for _, f := range found {
		codes = append(codes, string(*f.FindingType)+" "+*f.IssueCode)
	}
	if strings.Join(codes, ", ") != "ERROR INVALID_ACTION, SUGGESTION REDUNDANT_ACTION, SECURITY_WARNING PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE" {
		t.Errorf("found %v", codes)
	}
	l := found[0].Locations[0]
	if *l.Path[0].Value != "Statement" || *l.Path[1].Index != 0 || *l.Path[3].Index != 0 || text[*l.Span.Start.Offset:*l.Span.End.Column] != `"bedrock:InvokeModle"` ||
		!strings.HasSuffix(*found[0].LearnMoreLink, "#access-analyzer-reference-policy-checks-error-invalid-action") {
		t.Errorf("at %+v, %s", *l.Span.Start, *found[0].LearnMoreLink)
	}
	role := api.ValidatePolicyResourceTypeAwsIamAssumeRolePolicyDocument
	if got := answer(t, w, api.OpValidatePolicy, v(ownTrust, api.PolicyTypeResourcePolicy, &role)).Findings; len(got) != 0 || got == nil {
		t.Errorf("a trust policy: %+v", got)
	}
	if got := answer(t, w, api.OpValidatePolicy, v(ownTrust, api.PolicyTypeResourcePolicy, nil)).Findings; len(got) != 1 || *got[0].IssueCode != "MISSING_RESOURCE" {
		t.Errorf("a trust policy as another: %+v", got)
	}
	if got := answer(t, w, api.OpValidatePolicy, v(*get, api.PolicyTypeServiceControlPolicy, nil)).Findings; len(got) != 0 {
		t.Errorf("a service control policy: %+v", got)
	}
	refused(t, w, api.OpValidatePolicy, v(*get, api.PolicyTypeResourceControlPolicy, nil), invalid, "policyType")
	refused(t, w, api.OpValidatePolicy, v(*get, api.PolicyTypeIdentityPolicy, &role), invalid, "validatePolicyResourceType")
	refused(t, w, api.OpValidatePolicy, v(*long, api.PolicyTypeIdentityPolicy, nil), invalid, "policyDocument")
}

func TestGeneration(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	user, err := w.CreateUser(ctx, home, identity.NewUser{Name: "ana"})
	must(t, err)
	start := func(d *api.CloudTrailDetails) *api.StartPolicyGenerationInput {
		return &api.StartPolicyGenerationInput{PolicyGenerationDetails: &api.PolicyGenerationDetails{PrincipalArn: new(user.ARN())}, CloudTrailDetails: d}
	}
	get := func(id *string) *api.GetGeneratedPolicyOutput {
		t.Helper()
		return answer(t, w, api.OpGetGeneratedPolicy, &api.GetGeneratedPolicyInput{JobId: id})
	}
	if out := get(answer(t, w, api.OpStartPolicyGeneration, start(nil)).JobId); len(out.GeneratedPolicyResult.GeneratedPolicies) != 0 {
		t.Errorf("of nothing: %+v", out.GeneratedPolicyResult)
	}
	w.Acted(&call.Principal{Type: call.User, Account: home, UserID: user.ID}, w.now, call.Need{Action: "bedrock:InvokeModel"})
	w.now = w.now.Add(time.Hour)
	id := answer(t, w, api.OpStartPolicyGeneration, start(nil)).JobId
	out := get(id)
	if *out.JobDetails.Status != api.JobStatusSucceeded || *out.GeneratedPolicyResult.Properties.PrincipalArn != user.ARN() ||
		!strings.Contains(*out.GeneratedPolicyResult.GeneratedPolicies[0].Policy, "bedrock:InvokeModel") || !out.JobDetails.StartedOn.Equal(w.now) {
		t.Errorf("generated %+v", out)
	}
	late := answer(t, w, api.OpStartPolicyGeneration, start(&api.CloudTrailDetails{StartTime: new(w.now.Add(-time.Minute))})).JobId
	if out := get(late); len(out.GeneratedPolicyResult.GeneratedPolicies) != 0 {
		t.Errorf("of the last minute: %+v", out.GeneratedPolicyResult)
	}
	if list := answer(t, w, api.OpListPolicyGenerations, &api.ListPolicyGenerationsInput{PrincipalArn: new(user.ARN())}).PolicyGenerations; len(list) != 3 || !list[0].StartedOn.After(*list[2].StartedOn) {
		t.Errorf("generations %+v", list)
	}
	refused(t, w, api.OpStartPolicyGeneration, start(&api.CloudTrailDetails{StartTime: new(w.now.Add(time.Minute))}), invalid, "startTime")
	refused(t, w, api.OpStartPolicyGeneration, start(&api.CloudTrailDetails{StartTime: &w.now, EndTime: new(w.now.Add(-time.Minute))}), invalid, "endTime")
	refused(t, w, api.OpStartPolicyGeneration, &api.StartPolicyGenerationInput{PolicyGenerationDetails: &api.PolicyGenerationDetails{PrincipalArn: new(user.ARN() + "x")}}, invalid, "principalArn")
	refused(t, w, api.OpGetGeneratedPolicy, &api.GetGeneratedPolicyInput{JobId: new("x")}, invalid, "jobId")
	if _, _, err := ask(t, w, api.OpGetGeneratedPolicy, "444455556666", &api.GetGeneratedPolicyInput{JobId: id}); err == nil {
		t.Error("another account gets the policy")
	}
	for range 105 {
		w.now = w.now.Add(time.Second)
		answer(t, w, api.OpStartPolicyGeneration, start(nil))
	}
	if list := answer(t, w, api.OpListPolicyGenerations, &api.ListPolicyGenerationsInput{MaxResults: new(int32(1000))}).PolicyGenerations; len(list) != 100 {
		t.Errorf("%d generations are kept", len(list))
	}
}
