package bedrock_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/profile"
	"github.com/outcrop/outcrop/internal/promptrouter"
	"github.com/outcrop/outcrop/internal/record/recordtest"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/service/bedrock"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
	"github.com/outcrop/outcrop/internal/wire/restjson"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	account = "111122223333"
	other   = "444455556666"
	haiku   = "anthropic.claude-3-haiku-20240307-v1:0"
)

// memory is a profile.Store in memory. A non-nil fail is what every method
// returns; taken ids are refused once.
type memory struct {
	mu    sync.Mutex
	all   []profile.Profile
	fail  error
	taken int // how many puts are refused as if the random id were taken
}

func (m *memory) PutProfile(_ context.Context, p profile.Profile) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if m.taken > 0 {
		m.taken--
		return profile.ErrExists
	}
	for _, q := range m.all {
		if q.Account == p.Account && q.Region == p.Region && (q.ID == p.ID || q.Name == p.Name) {
			return profile.ErrExists
		}
	}
	m.all = append(m.all, p)
	return nil
}

func (m *memory) find(account, region, id string) int {
	return slices.IndexFunc(m.all, func(p profile.Profile) bool {
		return p.Account == account && p.Region == region && p.ID == id
	})
}

func (m *memory) GetProfile(_ context.Context, account, region, id string) (profile.Profile, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(account, region, id)
	switch {
	case m.fail != nil:
		return profile.Profile{}, m.fail
	case i < 0:
		return profile.Profile{}, profile.ErrNotFound
	}
	return m.all[i], nil
}

func (m *memory) ListProfiles(_ context.Context, q profile.Query) ([]profile.Profile, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	var out []profile.Profile
	for _, p := range m.all {
		if p.Account != q.Account || p.Region != q.Region || q.Name != "" && p.Name != q.Name {
			continue
		}
		if !q.After.IsZero() && (p.Created.Before(q.After.Created) || p.Created.Equal(q.After.Created) && p.ID <= q.After.ID) {
			continue
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b profile.Profile) int {
		return bytes.Compare([]byte(a.Created.Format(time.RFC3339Nano)+a.ID), []byte(b.Created.Format(time.RFC3339Nano)+b.ID))
	})
	return out[:min(len(out), q.Limit)], nil
}

func (m *memory) DeleteProfile(_ context.Context, account, region, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(account, region, id)
	switch {
	case m.fail != nil:
		return m.fail
	case i < 0:
		return profile.ErrNotFound
	}
	m.all = slices.Delete(m.all, i, i+1)
	return nil
}

// fixture is a service with its store and a clock that stands still.
type fixture struct {
	routes map[string]service.Route
	store  *memory
	book   *resource.Book
	agreed *agreement.Service
	// routers are those of accounts.
	routers *promptrouter.Service
	// records keep what the book and the agreements know.
	records *recordtest.Store
	may     func(context.Context, *call.Call, call.Need) bool
	locks   func(context.Context, *call.Call, string, *policy.Document) (bool, error)
	codec   *restjson.Codec
}

func start(t *testing.T, o catalog.Options) *fixture {
	t.Helper()
	f := &fixture{store: &memory{}, routes: map[string]service.Route{}, codec: restjson.New()}
	f.records = &recordtest.Store{}
	var err error
	if f.routers, err = promptrouter.Open(t.Context(), promptrouter.Config{Records: f.records}); err != nil {
		t.Fatal(err)
	}
	o.Routers = f.routers
	c, err := catalog.New(o)
	if err != nil {
		t.Fatal(err)
	}
	f.may = func(context.Context, *call.Call, call.Need) bool { return true }
	may := func(ctx context.Context, c *call.Call, n call.Need) bool { return f.may(ctx, c, n) }
	f.locks = func(context.Context, *call.Call, string, *policy.Document) (bool, error) { return false, nil }
	locks := func(ctx context.Context, c *call.Call, arn string, doc *policy.Document) (bool, error) {
		return f.locks(ctx, c, arn, doc)
	}
	if f.agreed, err = agreement.Open(t.Context(), agreement.Config{Records: f.records, Default: account}); err != nil {
		t.Fatal(err)
	}
	f.book, err = resource.Open(t.Context(), resource.Config{Records: f.records, Exists: map[string]resource.Exists{
		"application-inference-profile": profile.Exists(f.store),
		"prompt-router":                 f.routers.Exists,
	}})
	if err != nil {
		t.Fatal(err)
	}
	var tick time.Duration
	s := bedrock.New(bedrock.Config{Catalog: c, Profiles: f.store, Resources: f.book, Agreements: f.agreed, Routers: f.routers, May: may, Locks: locks, Now: func() time.Time {
		tick += time.Second
		return time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC).Add(tick)
	}})
	for _, r := range s.Routes() {
		f.routes[r.Operation.Name] = r
	}
	return f
}

func newCall(region, account string) *call.Call {
	return &call.Call{Region: region, Principal: call.Principal{Account: account}}
}

// do validates and serves in as the gateway does. It returns the response body,
// the resources that were asked for, and the call.
func (f *fixture) do(t *testing.T, c *call.Call, op string, in any) (body []byte, resources []string, err error) {
	t.Helper()
	r, ok := f.routes[op]
	if !ok {
		t.Fatalf("%s is not bound", op)
	}
	if r.Resources != nil {
		if resources, err = r.Resources(t.Context(), c, in); err != nil {
			return nil, nil, err
		}
	}
	if err = f.codec.Validate(r.Service, r.Operation, in); err != nil {
		return nil, resources, err
	}
	out, err := r.Serve(t.Context(), c, in)
	if err != nil {
		return nil, resources, err
	}
	resp, err := f.codec.AppendOutput(nil, r.Service, r.Operation, out)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Body, resources, nil
}

// must is do without an error, decoded into T.
func must[T any](t *testing.T, f *fixture, op string, in any) T {
	t.Helper()
	body, _, err := f.do(t, newCall("us-east-1", account), op, in)
	if err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	return decode[T](t, body)
}

func decode[T any](t *testing.T, body []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// golden compares a body with the file of the same name.
func golden(t *testing.T, name string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, body, "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("%s differs from %s:\n%s", name, path, b.Bytes())
	}
}

// wantError checks code and status of an error, and a part of its message.
func wantError(t *testing.T, err error, code string, status int, part string) {
	t.Helper()
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok || e.Code != code || e.Status != status || !strings.Contains(e.Message, part) {
		t.Errorf("error %v, want %s %d with %q", err, code, status, part)
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{})
	if len(f.routes) != 27 {
		t.Errorf("%d operations are bound", len(f.routes))
	}
	for name, r := range f.routes {
		if r.Service.Name != "bedrock" || r.NewInput() == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

type summaries struct {
	ModelSummaries []struct {
		ModelID      string `json:"modelId"`
		ProviderName string `json:"providerName"`
	} `json:"modelSummaries"`
}

func TestListFoundationModels(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	body, resources, err := f.do(t, newCall("eu-central-1", account), "ListFoundationModels", &br.ListFoundationModelsInput{})
	if err != nil || resources != nil {
		t.Fatal(resources, err)
	}
	golden(t, "list-foundation-models", body)

	for name, tc := range map[string]struct {
		in   *br.ListFoundationModelsInput
		want []string
	}{
		"provider in any case": {&br.ListFoundationModelsInput{ByProvider: new("hugging face")}, []string{"huggingface.smollm2-135m-instruct-v1:0", "huggingface.smolvlm-256m-instruct-v1:0"}},
		"unknown provider":     {&br.ListFoundationModelsInput{ByProvider: new("Nobody")}, nil},
		"output": {&br.ListFoundationModelsInput{ByProvider: new("Cohere"), ByOutputModality: new(br.ModelModalityEmbedding)},
			[]string{"cohere.embed-english-v3", "cohere.embed-multilingual-v3", "cohere.embed-v4:0"}},
		"customization": {&br.ListFoundationModelsInput{ByCustomizationType: new(br.ModelCustomizationContinuedPreTraining)},
			[]string{"amazon.titan-text-lite-v1", "amazon.titan-text-express-v1"}},
		"inference": {&br.ListFoundationModelsInput{ByProvider: new("Meta"), ByInferenceType: new(br.InferenceTypeProvisioned), ByCustomizationType: new(br.ModelCustomizationDistillation)},
			[]string{"meta.llama3-1-8b-instruct-v1:0", "meta.llama3-1-70b-instruct-v1:0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, m := range must[summaries](t, f, "ListFoundationModels", tc.in).ModelSummaries {
				got = append(got, m.ModelID)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	_, _, err = f.do(t, newCall("us-east-1", account), "ListFoundationModels", &br.ListFoundationModelsInput{ByOutputModality: new(br.ModelModality("SOUND"))})
	wantError(t, err, apierr.CodeValidation, 400, "byOutputModality")
}

func TestGetFoundationModel(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	for _, id := range []string{haiku, "arn:aws:bedrock:us-west-2::foundation-model/" + haiku} {
		c := newCall("us-west-2", account)
		body, resources, err := f.do(t, c, "GetFoundationModel", &br.GetFoundationModelInput{ModelIdentifier: new(id)})
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "get-foundation-model", body)
		if !slices.Equal(resources, []string{"arn:aws:bedrock:us-west-2::foundation-model/" + haiku}) {
			t.Errorf("resources %q", resources)
		}
		if c.ServedBy != "smollm2-135m-instruct" || !c.StandIn || c.ModelID != id || c.ModelARN != resources[0] {
			t.Errorf("the call does not disclose the stand-in: %+v", c)
		}
	}
	c := newCall("us-west-2", account)
	if _, _, err := f.do(t, c, "GetFoundationModel", &br.GetFoundationModelInput{ModelIdentifier: new("huggingface.smollm2-135m-instruct-v1:0")}); err != nil || c.StandIn {
		t.Errorf("own model: stand-in %v, %v", c.StandIn, err)
	}
	for id, code := range map[string]string{
		"acme.model-v1:0": apierr.CodeResourceNotFound,
		"arn:aws:bedrock:us-west-2::foundation-model/acme.model": apierr.CodeResourceNotFound,
		"not a model": apierr.CodeValidation,
	} {
		_, _, err := f.do(t, newCall("us-west-2", account), "GetFoundationModel", &br.GetFoundationModelInput{ModelIdentifier: new(id)})
		if apierr.From(err).Code != code {
			t.Errorf("%s: %v, want %s", id, err, code)
		}
	}
	_, _, err := f.do(t, newCall("us-west-2", account), "GetFoundationModel", &br.GetFoundationModelInput{})
	wantError(t, err, apierr.CodeValidation, 400, "")
}

func TestGetFoundationModelLifecycle(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("models:\n  - {id: anthropic.claude-v2, lifecycle: {start_of_life: 2023-09-28, end_of_life: 2999-01-01}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := start(t, catalog.Options{StandIns: true, File: file})
	got := must[struct {
		ModelDetails struct{ ModelLifecycle map[string]string }
	}](t, f, "GetFoundationModel", &br.GetFoundationModelInput{ModelIdentifier: new("anthropic.claude-v2")}).ModelDetails.ModelLifecycle
	if got["status"] != "LEGACY" || got["startOfLifeTime"] != "2023-09-28T00:00:00Z" || got["endOfLifeTime"] != "2999-01-01T00:00:00Z" {
		t.Errorf("lifecycle %v", got)
	}
}

type availability struct {
	ModelID                                                          string
	AuthorizationStatus, EntitlementAvailability, RegionAvailability string
	AgreementAvailability                                            struct{ Status string }
}

func TestGetFoundationModelAvailability(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("models:\n  - {id: anthropic.claude-v2, regions: [eu-west-1]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := start(t, catalog.Options{StandIns: true, File: file})
	for id, want := range map[string]availability{
		haiku:                      {haiku, "AUTHORIZED", "AVAILABLE", "AVAILABLE", struct{ Status string }{"AVAILABLE"}},
		"anthropic.claude-v2":      {"anthropic.claude-v2", "AUTHORIZED", "AVAILABLE", "NOT_AVAILABLE", struct{ Status string }{"AVAILABLE"}},
		"google.gemma-3-270m-v1:0": {"google.gemma-3-270m-v1:0", "AUTHORIZED", "NOT_AVAILABLE", "AVAILABLE", struct{ Status string }{"NOT_AVAILABLE"}},
	} {
		if got := must[availability](t, f, "GetFoundationModelAvailability", &br.GetFoundationModelAvailabilityInput{ModelId: new(id)}); got != want {
			t.Errorf("%s: %+v, want %+v", id, got, want)
		}
	}
	_, _, err := f.do(t, newCall("us-east-1", account), "GetFoundationModelAvailability", &br.GetFoundationModelAvailabilityInput{ModelId: new("acme.model")})
	wantError(t, err, apierr.CodeResourceNotFound, 404, "Could not resolve")
}

func TestAcceptedTerms(t *testing.T) {
	t.Parallel()
	c, err := catalog.New(catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	agreed, err := agreement.Open(t.Context(), agreement.Config{Records: &recordtest.Store{}, Default: account})
	if err != nil {
		t.Fatal(err)
	}
	s := bedrock.New(bedrock.Config{Catalog: c, Profiles: &memory{}, Agreements: agreed, Accepted: func(id, url string) bool {
		return id == "gemma-3-270m" && strings.HasPrefix(url, "https://")
	}})
	f := &fixture{routes: map[string]service.Route{}, codec: restjson.New()}
	for _, r := range s.Routes() {
		f.routes[r.Operation.Name] = r
	}
	got := must[availability](t, f, "GetFoundationModelAvailability", &br.GetFoundationModelAvailabilityInput{ModelId: new("google.gemma-3-270m-v1:0")})
	if got.AgreementAvailability.Status != "AVAILABLE" || got.EntitlementAvailability != "AVAILABLE" {
		t.Errorf("%+v", got)
	}
}

type page struct {
	InferenceProfileSummaries []struct {
		InferenceProfileID   string `json:"inferenceProfileId"`
		InferenceProfileName string `json:"inferenceProfileName"`
		Type                 string `json:"type"`
	} `json:"inferenceProfileSummaries"`
	NextToken *string `json:"nextToken"`
}

func create(t *testing.T, f *fixture, name, source string) string {
	t.Helper()
	return must[map[string]string](t, f, "CreateInferenceProfile", &br.CreateInferenceProfileInput{
		InferenceProfileName: new(name), ModelSource: &br.InferenceProfileModelSource{CopyFrom: new(source)},
	})["inferenceProfileArn"]
}

const modelARN = "arn:aws:bedrock:us-east-1::foundation-model/" + haiku

func TestListInferenceProfiles(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	body, _, err := f.do(t, newCall("eu-west-1", account), "ListInferenceProfiles", &br.ListInferenceProfilesInput{})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "list-inference-profiles", body)

	for i := range 5 {
		create(t, f, fmt.Sprintf("own %d", i), modelARN)
	}
	all := must[page](t, f, "ListInferenceProfiles", &br.ListInferenceProfilesInput{})
	if all.NextToken != nil {
		t.Error("the whole list has a next page")
	}
	n := len(all.InferenceProfileSummaries)
	for _, kind := range []*br.InferenceProfileType{nil, new(br.InferenceProfileTypeApplication), new(br.InferenceProfileTypeSystemDefined)} {
		for size := range n + 1 {
			var got []string
			in := &br.ListInferenceProfilesInput{MaxResults: new(int32(size + 1)), TypeEquals: kind}
			for {
				p := must[page](t, f, "ListInferenceProfiles", in)
				if len(p.InferenceProfileSummaries) > size+1 || p.NextToken != nil && len(p.InferenceProfileSummaries) != size+1 {
					t.Fatalf("a page of %d for maxResults %d", len(p.InferenceProfileSummaries), size+1)
				}
				for _, s := range p.InferenceProfileSummaries {
					got = append(got, s.InferenceProfileID)
				}
				if in.NextToken = p.NextToken; in.NextToken == nil {
					break
				}
			}
			var want []string
			for _, s := range all.InferenceProfileSummaries {
				if kind == nil || s.Type == string(*kind) {
					want = append(want, s.InferenceProfileID)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d, type %v: %q, want %q", size+1, kind, got, want)
			}
		}
	}
	if own := all.InferenceProfileSummaries[n-5:]; own[0].InferenceProfileName != "own 0" || own[4].InferenceProfileName != "own 4" || own[0].Type != "APPLICATION" {
		t.Errorf("own profiles: %+v", own)
	}
}

func TestListInferenceProfilesToken(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	create(t, f, "one", modelARN)
	create(t, f, "two", modelARN)
	first := must[page](t, f, "ListInferenceProfiles", &br.ListInferenceProfilesInput{MaxResults: new(int32(1))})
	own := must[page](t, f, "ListInferenceProfiles", &br.ListInferenceProfilesInput{MaxResults: new(int32(1)), TypeEquals: new(br.InferenceProfileTypeApplication)})
	for name, tc := range map[string]struct {
		call  *call.Call
		token string
		kind  *br.InferenceProfileType
	}{
		"garbage":         {newCall("us-east-1", account), "garbage", nil},
		"not base64":      {newCall("us-east-1", account), "%%%", nil},
		"too short":       {newCall("us-east-1", account), "AAAA", nil},
		"changed":         {newCall("us-east-1", account), (*first.NextToken)[:len(*first.NextToken)-2] + "AA", nil},
		"another account": {newCall("us-east-1", other), *first.NextToken, nil},
		"another region":  {newCall("us-west-2", account), *first.NextToken, nil},
		"another type":    {newCall("us-east-1", account), *own.NextToken, nil},
		"no type":         {newCall("us-east-1", account), *first.NextToken, new(br.InferenceProfileTypeApplication)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := f.do(t, tc.call, "ListInferenceProfiles", &br.ListInferenceProfilesInput{NextToken: new(tc.token), TypeEquals: tc.kind})
			wantError(t, err, apierr.CodeValidation, 400, "nextToken")
		})
	}
	_, _, err := f.do(t, newCall("us-east-1", account), "ListInferenceProfiles", &br.ListInferenceProfilesInput{MaxResults: new(int32(0))})
	wantError(t, err, apierr.CodeValidation, 400, "maxResults")
}

// TestListTokenOfChangedCatalogue pages over a catalogue without the profile
// that the last page ended with.
func TestListTokenOfChangedCatalogue(t *testing.T) {
	t.Parallel()
	first := must[page](t, start(t, catalog.Options{StandIns: true}), "ListInferenceProfiles", &br.ListInferenceProfilesInput{MaxResults: new(int32(1))})
	_, _, err := start(t, catalog.Options{}).do(t, newCall("us-east-1", account), "ListInferenceProfiles", &br.ListInferenceProfilesInput{NextToken: first.NextToken})
	wantError(t, err, apierr.CodeValidation, 400, "nextToken")
}

func TestGetInferenceProfile(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	system := "arn:aws:bedrock:us-east-1:" + account + ":inference-profile/us." + haiku
	for _, id := range []string{"us." + haiku, system} {
		c := newCall("us-east-1", account)
		body, resources, err := f.do(t, c, "GetInferenceProfile", &br.GetInferenceProfileInput{InferenceProfileIdentifier: new(id)})
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "get-inference-profile-system", body)
		if !slices.Equal(resources, []string{system}) || c.ServedBy != "smollm2-135m-instruct" || !c.StandIn {
			t.Errorf("resources %q, call %+v", resources, c)
		}
	}
	own := create(t, f, "My own", system)
	f.store.all[0].ID = "abcdefghij12"
	own = own[:len(own)-12] + "abcdefghij12"
	for _, id := range []string{"abcdefghij12", own} {
		body, resources, err := f.do(t, newCall("us-east-1", account), "GetInferenceProfile", &br.GetInferenceProfileInput{InferenceProfileIdentifier: new(id)})
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "get-inference-profile-application", body)
		if !slices.Equal(resources, []string{own}) {
			t.Errorf("resources %q, want %q", resources, own)
		}
	}
	for name, tc := range map[string]struct {
		id, code string
		status   int
	}{
		"unknown system":      {"us.acme.model", apierr.CodeResourceNotFound, 404},
		"geography elsewhere": {"eu." + haiku, apierr.CodeResourceNotFound, 404},
		"a model":             {haiku, apierr.CodeResourceNotFound, 404},
		"unknown application": {"zzzzzzzzzz12", apierr.CodeResourceNotFound, 404},
		"another account":     {strings.Replace(own, account, other, 1), apierr.CodeResourceNotFound, 404},
		"another region":      {strings.Replace(own, "us-east-1", "us-west-2", 1), apierr.CodeResourceNotFound, 404},
		"ARN of a model":      {modelARN, apierr.CodeValidation, 400},
		"malformed ARN":       {"arn:aws:bedrock", apierr.CodeValidation, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := f.do(t, newCall("us-east-1", account), "GetInferenceProfile", &br.GetInferenceProfileInput{InferenceProfileIdentifier: new(tc.id)})
			wantError(t, err, tc.code, tc.status, "")
		})
	}
	_, _, err := f.do(t, newCall("us-east-1", account), "GetInferenceProfile", &br.GetInferenceProfileInput{})
	wantError(t, err, apierr.CodeValidation, 400, "inferenceProfileIdentifier")
}

func TestCreateInferenceProfile(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	in := &br.CreateInferenceProfileInput{
		InferenceProfileName: new("Team-A"), Description: new("for team A"),
		ModelSource: &br.InferenceProfileModelSource{CopyFrom: new(modelARN)},
		Tags:        []br.Tag{{Key: new("team"), Value: new("a")}},
	}
	body, resources, err := f.do(t, newCall("us-east-1", account), "CreateInferenceProfile", in)
	if err != nil {
		t.Fatal(err)
	}
	p := f.store.all[0]
	if want := `{"inferenceProfileArn":"arn:aws:bedrock:us-east-1:` + account + `:application-inference-profile/` + p.ID + `","status":"ACTIVE"}`; string(body) != want {
		t.Errorf("answer %s, want %s", body, want)
	}
	if !slices.Equal(resources, []string{"arn:aws:bedrock:us-east-1:" + account + ":application-inference-profile/*", modelARN}) {
		t.Errorf("resources %q", resources)
	}
	if tags := f.book.Tags(p.ARN("aws")); len(tags) != 1 || tags["team"] != "a" {
		t.Errorf("tags %v", tags)
	}
	if p.Name != "Team-A" || p.Description != "for team A" || p.ModelSource != modelARN || !slices.Equal(p.ModelARNs, []string{modelARN}) || p.Created.IsZero() || !p.Updated.Equal(p.Created) {
		t.Errorf("stored %+v", p)
	}
	create(t, f, "Team-B", "arn:aws:bedrock:us-east-1:"+account+":inference-profile/us."+haiku)
	if got := f.store.all[1].ModelARNs; len(got) != 3 || got[0] != modelARN {
		t.Errorf("models of a copied system profile: %q", got)
	}
	_, _, err = f.do(t, newCall("us-east-1", account), "CreateInferenceProfile", in)
	wantError(t, err, apierr.CodeConflict, 400, "inferenceProfileName")
	if _, _, err = f.do(t, newCall("us-east-1", other), "CreateInferenceProfile", in); err != nil {
		t.Errorf("the same name in another account: %v", err)
	}
}

func TestCreateInferenceProfileQuota(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	for i := range profile.MaxPerRegion - 1 {
		f.store.all = append(f.store.all, profile.Profile{Account: account, Region: "us-east-1", ID: fmt.Sprint("id", i), Name: fmt.Sprint("name ", i)})
	}
	in := func(name string) *br.CreateInferenceProfileInput {
		return &br.CreateInferenceProfileInput{InferenceProfileName: new(name), ModelSource: &br.InferenceProfileModelSource{CopyFrom: new(modelARN)}}
	}
	last := newCall("us-east-1", account)
	last.TokenID = "abcdefghij12"
	if _, _, err := f.do(t, last, "CreateInferenceProfile", in("last")); err != nil {
		t.Fatal(err)
	}
	_, _, err := f.do(t, newCall("us-east-1", account), "CreateInferenceProfile", in("one more"))
	wantError(t, err, apierr.CodeServiceQuotaExceeded, 400, "1000")
	if _, _, err := f.do(t, last, "CreateInferenceProfile", in("last")); err != nil {
		t.Errorf("a repeat of the last one: %v", err)
	}
	if _, _, err := f.do(t, newCall("us-east-1", other), "CreateInferenceProfile", in("one more")); err != nil {
		t.Errorf("another account: %v", err)
	}
	_, _, err = f.do(t, newCall("us-east-1", account), "DeleteInferenceProfile", &br.DeleteInferenceProfileInput{InferenceProfileIdentifier: new("abcdefghij12")})
	if err != nil {
		t.Fatal(err)
	}
	create(t, f, "one more", modelARN)
}

func TestCreateInferenceProfileIDTaken(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	f.store.taken = 2
	create(t, f, "third try", modelARN)
	f.store.taken = 3
	_, _, err := f.do(t, newCall("us-east-1", account), "CreateInferenceProfile", &br.CreateInferenceProfileInput{
		InferenceProfileName: new("never"), ModelSource: &br.InferenceProfileModelSource{CopyFrom: new(modelARN)},
	})
	if !errors.Is(err, profile.ErrExists) || apierr.From(err).Code != apierr.CodeInternal {
		t.Errorf("error %v", err)
	}
}

func TestCreateInferenceProfileRefused(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	source := func(a string) *br.InferenceProfileModelSource {
		return &br.InferenceProfileModelSource{CopyFrom: new(a)}
	}
	tags := func(n int) (ts []br.Tag) {
		for i := range n {
			ts = append(ts, br.Tag{Key: new(fmt.Sprint("k", i)), Value: new("")})
		}
		return ts
	}
	for name, tc := range map[string]struct {
		in     *br.CreateInferenceProfileInput
		code   string
		status int
		part   string
	}{
		"no source":       {&br.CreateInferenceProfileInput{InferenceProfileName: new("a")}, apierr.CodeValidation, 400, "modelSource"},
		"empty source":    {&br.CreateInferenceProfileInput{InferenceProfileName: new("a"), ModelSource: &br.InferenceProfileModelSource{}}, apierr.CodeValidation, 400, "modelSource"},
		"no name":         {&br.CreateInferenceProfileInput{ModelSource: source(modelARN)}, apierr.CodeValidation, 400, "inferenceProfileName"},
		"bare id":         {&br.CreateInferenceProfileInput{InferenceProfileName: new("a"), ModelSource: source(haiku)}, apierr.CodeValidation, 400, "modelSource.copyFrom"},
		"own profile":     {&br.CreateInferenceProfileInput{InferenceProfileName: new("a"), ModelSource: source("arn:aws:bedrock:us-east-1:" + account + ":application-inference-profile/abcdefghij12")}, apierr.CodeValidation, 400, "modelSource.copyFrom"},
		"another region":  {&br.CreateInferenceProfileInput{InferenceProfileName: new("a"), ModelSource: source("arn:aws:bedrock:us-west-2::foundation-model/" + haiku)}, apierr.CodeValidation, 400, "us-west-2"},
		"another account": {&br.CreateInferenceProfileInput{InferenceProfileName: new("a"), ModelSource: source("arn:aws:bedrock:us-east-1:" + other + ":inference-profile/us." + haiku)}, apierr.CodeValidation, 400, "another account"},
		"unknown model":   {&br.CreateInferenceProfileInput{InferenceProfileName: new("a"), ModelSource: source("arn:aws:bedrock:us-east-1::foundation-model/acme.model")}, apierr.CodeResourceNotFound, 404, ""},
		"unknown profile": {&br.CreateInferenceProfileInput{InferenceProfileName: new("a"), ModelSource: source("arn:aws:bedrock:us-east-1:" + account + ":inference-profile/us.acme.model")}, apierr.CodeResourceNotFound, 404, ""},
		"51 tags":         {&br.CreateInferenceProfileInput{InferenceProfileName: new("a"), ModelSource: source(modelARN), Tags: tags(51)}, "TooManyTagsException", 400, "at most 50"},
		"tag twice":       {&br.CreateInferenceProfileInput{InferenceProfileName: new("a"), ModelSource: source(modelARN), Tags: append(tags(1), tags(1)...)}, apierr.CodeValidation, 400, "tags.1.key"},
		"tag of AWS":      {&br.CreateInferenceProfileInput{InferenceProfileName: new("a"), ModelSource: source(modelARN), Tags: []br.Tag{{Key: new("AWS:x"), Value: new("")}}}, apierr.CodeValidation, 400, "tags.0.key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := f.do(t, newCall("us-east-1", account), "CreateInferenceProfile", tc.in)
			wantError(t, err, tc.code, tc.status, tc.part)
		})
	}
}

func TestDeleteInferenceProfile(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	own := create(t, f, "gone soon", modelARN)
	body, resources, err := f.do(t, newCall("us-east-1", account), "DeleteInferenceProfile", &br.DeleteInferenceProfileInput{InferenceProfileIdentifier: new(own)})
	if err != nil || string(body) != "{}" || !slices.Equal(resources, []string{own}) {
		t.Errorf("answer %s, resources %q, %v", body, resources, err)
	}
	_, _, err = f.do(t, newCall("us-east-1", account), "DeleteInferenceProfile", &br.DeleteInferenceProfileInput{InferenceProfileIdentifier: new(own)})
	wantError(t, err, apierr.CodeResourceNotFound, 404, own)
	_, _, err = f.do(t, newCall("us-east-1", account), "DeleteInferenceProfile", &br.DeleteInferenceProfileInput{InferenceProfileIdentifier: new("us." + haiku)})
	wantError(t, err, apierr.CodeValidation, 400, "system-defined")
	_, _, err = f.do(t, newCall("us-east-1", account), "DeleteInferenceProfile", &br.DeleteInferenceProfileInput{})
	wantError(t, err, apierr.CodeValidation, 400, "inferenceProfileIdentifier")
}

func TestStoreFails(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	f.store.fail = errors.New("disk on fire")
	for op, in := range map[string]any{
		"CreateInferenceProfile": &br.CreateInferenceProfileInput{InferenceProfileName: new("a"), ModelSource: &br.InferenceProfileModelSource{CopyFrom: new(modelARN)}},
		"GetInferenceProfile":    &br.GetInferenceProfileInput{InferenceProfileIdentifier: new("abcdefghij12")},
		"DeleteInferenceProfile": &br.DeleteInferenceProfileInput{InferenceProfileIdentifier: new("abcdefghij12")},
		"ListInferenceProfiles":  &br.ListInferenceProfilesInput{},
	} {
		_, _, err := f.do(t, newCall("us-east-1", account), op, in)
		if !errors.Is(err, f.store.fail) || apierr.From(err).Code != apierr.CodeInternal {
			t.Errorf("%s: %v", op, err)
		}
	}
}
