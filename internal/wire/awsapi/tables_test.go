package awsapi_test

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/awsapi/accessanalyzer"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrockagent"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrockagentruntime"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
	"github.com/outcrop/outcrop/internal/wire/awsapi/iam"
	"github.com/outcrop/outcrop/internal/wire/awsapi/organizations"
	"github.com/outcrop/outcrop/internal/wire/awsapi/outcrop"
	"github.com/outcrop/outcrop/internal/wire/awsapi/servicequotas"
	"github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

// goOp is a typed operation value without its type parameters.
type goOp struct {
	service *awsapi.Service
	op      *awsapi.Operation
	in, out reflect.Type
}

func newGoOp[In, Out any](op awsapi.Op[In, Out]) goOp {
	return goOp{op.Service, op.Operation, reflect.TypeFor[In](), reflect.TypeFor[Out]()}
}

func models() []*awsapi.Service {
	return []*awsapi.Service{
		&bedrock.Model, &bedrockagent.Model, &bedrockagentruntime.Model, &bedrockruntime.Model, &sts.Model,
		&iam.Model, &organizations.Model, &accessanalyzer.Model, &outcrop.Model, &servicequotas.Model,
	}
}

// forEach runs check once per service, as a parallel subtest.
func forEach(t *testing.T, check func(*testing.T, *awsapi.Service)) {
	t.Helper()
	for _, s := range models() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			check(t, s)
		})
	}
}

// The number of operations changes with the pinned models only.
func TestOperationCounts(t *testing.T) {
	t.Parallel()
	want := map[string]int{
		"bedrock": 108, "bedrock-agent": 86, "bedrock-agent-runtime": 35, "bedrock-runtime": 11, "sts": 11,
		"iam": 180, "organizations": 63, "accessanalyzer": 39, "outcrop": 19, "service-quotas": 26,
	}
	for _, s := range models() {
		if len(s.Operations) != want[s.Name] {
			t.Errorf("%s: %d operations, want %d", s.Name, len(s.Operations), want[s.Name])
		}
	}
}

func TestServices(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, s *awsapi.Service) {
		own := s == &outcrop.Model // no model of AWS's
		if s.ID == "" || s.SigningName == "" || s.APIVersion == "" || s.Protocol == "" || (s.BotocoreModel == "") != own {
			t.Errorf("incomplete identity: %s %q %q %q %q %q", s.Name, s.ID, s.SigningName, s.APIVersion, s.Protocol, s.BotocoreModel)
		}
		if (s.Protocol == "json") != (s.TargetPrefix != "" && s.JSONVersion != "") || (s.Protocol == "query") != (s.XMLNamespace != "") {
			t.Errorf("protocol %s with target prefix %q, JSON %q, namespace %q", s.Protocol, s.TargetPrefix, s.JSONVersion, s.XMLNamespace)
		}
		if s.Shapes[0].Kind != 0 {
			t.Errorf("shape 0 is %q, want none", s.Shapes[0].Name)
		}
	})
}

var label = regexp.MustCompile(`\{(\w+)\+?\}`)

func TestOperations(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, s *awsapi.Service) {
		names := map[string]bool{}
		for i := range s.Operations {
			op := &s.Operations[i]
			if names[op.Name] {
				t.Errorf("%s twice", op.Name)
			}
			names[op.Name] = true
			checkOperation(t, s, op)
		}
	})
}

func checkOperation(t *testing.T, s *awsapi.Service, op *awsapi.Operation) {
	t.Helper()
	if op.Status < 200 || op.Status > 299 || op.Method == "" || !strings.HasPrefix(op.URI, "/") {
		t.Errorf("%s: route %s %s, status %d", op.Name, op.Method, op.URI, op.Status)
	}
	if !strings.HasPrefix(op.Action, s.SigningName+":") {
		t.Errorf("%s: action %q", op.Name, op.Action)
	}
	if s.Shape(op.Input).Kind != awsapi.Structure || s.Shape(op.Output).Kind != awsapi.Structure {
		t.Errorf("%s: input or output is no structure", op.Name)
	}
	for _, e := range op.Errors {
		sh := s.Shape(e)
		if sh.Error == nil || sh.Error.Status < 400 || sh.Error.Status > 599 {
			t.Errorf("%s: error %s has no status", op.Name, sh.Name)
		}
	}

	var labels, bound []string
	for _, m := range label.FindAllStringSubmatch(op.URI, -1) {
		labels = append(labels, m[1])
	}
	payloads := 0
	for _, m := range s.Shape(op.Input).Members {
		switch m.Location {
		case awsapi.InURI:
			bound = append(bound, m.Key())
			if !m.Required {
				t.Errorf("%s: label member %s is optional", op.Name, m.Name)
			}
		case awsapi.InPayload:
			payloads++
		}
	}
	slices.Sort(labels)
	slices.Sort(bound)
	if !slices.Equal(labels, bound) {
		t.Errorf("%s: labels %v, members %v", op.Name, labels, bound)
	}
	if payloads > 1 {
		t.Errorf("%s: %d payload members", op.Name, payloads)
	}
	p := op.Pagination
	checkMember(t, s, op, op.Input, p.InputToken)
	checkMember(t, s, op, op.Input, p.LimitKey)
	checkMember(t, s, op, op.Output, p.OutputToken)
	checkMember(t, s, op, op.Output, p.MoreResults)
	for key := range strings.SplitSeq(p.ResultKey, ",") {
		checkMember(t, s, op, op.Output, key)
	}
}

// checkMember checks that shape has a member of that name, if there is a name.
func checkMember(t *testing.T, s *awsapi.Service, op *awsapi.Operation, shape awsapi.ShapeID, name string) {
	t.Helper()
	has := func(m awsapi.Member) bool { return m.Name == name }
	if name != "" && !slices.ContainsFunc(s.Shape(shape).Members, has) {
		t.Errorf("%s: %s has no member %s to page with", op.Name, s.Shape(shape).Name, name)
	}
}

// Who may call without a signature, and who with a bearer key.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, s *awsapi.Service) {
		keyed := s == &bedrock.Model || s == &bedrockruntime.Model
		for i := range s.Operations {
			op := &s.Operations[i]
			open := op.Name == "AssumeRoleWithSAML" || op.Name == "AssumeRoleWithWebIdentity"
			if op.NoAuth != open {
				t.Errorf("%s: NoAuth is %t", op.Name, op.NoAuth)
			}
			if want := keyed && op.Name != "InvokeModelWithBidirectionalStream"; op.Bearer != want {
				t.Errorf("%s: Bearer is %t", op.Name, op.Bearer)
			}
		}
	})
}

// Facts that the design rests on, spelled out.
func TestKnownFacts(t *testing.T) {
	t.Parallel()
	for op, action := range map[*awsapi.Operation]string{
		bedrockruntime.OpConverse.Operation:                           "bedrock:InvokeModel",
		bedrockruntime.OpConverseStream.Operation:                     "bedrock:InvokeModelWithResponseStream",
		bedrockruntime.OpInvokeModel.Operation:                        "bedrock:InvokeModel",
		bedrockruntime.OpStartAsyncInvoke.Operation:                   "bedrock:InvokeModel",
		bedrockruntime.OpCountTokens.Operation:                        "bedrock:CountTokens",
		bedrockagentruntime.OpRetrieveAndGenerateStream.Operation:     "bedrock:RetrieveAndGenerate",
		bedrock.OpListFoundationModels.Operation:                      "bedrock:ListFoundationModels",
		sts.OpGetCallerIdentity.Operation:                             "sts:GetCallerIdentity",
		bedrockruntime.OpInvokeModelWithBidirectionalStream.Operation: "bedrock:InvokeModel",
	} {
		if op.Action != action {
			t.Errorf("%s: action %s, want %s", op.Name, op.Action, action)
		}
	}
	// These two differ by the slash alone.
	if a, b := bedrockagent.OpPrepareAgent.Operation.URI, bedrockagentruntime.OpInvokeInlineAgent.Operation.URI; a != "/agents/{agentId}/" || b != "/agents/{sessionId}" {
		t.Errorf("routes %s and %s", a, b)
	}
	if n := bedrockruntime.OpConverse.Operation.MaxBody; n != 25_000_000 {
		t.Errorf("Converse takes %d bytes", n)
	}
	for service, status := range map[*awsapi.Service]int{&bedrock.Model: 400, &bedrockruntime.Model: 400, &bedrockagent.Model: 409} {
		if got := findShape(t, service, "ConflictException").Error.Status; got != status {
			t.Errorf("%s: ConflictException has status %d, want %d", service.Name, got, status)
		}
	}
	ready := findShape(t, &bedrockruntime.Model, "ModelNotReadyException").Error
	if ready.Status != 429 || !ready.Retryable || !ready.Sender {
		t.Errorf("ModelNotReadyException: %+v", *ready)
	}
	if code := findShape(t, &sts.Model, "MalformedPolicyDocumentException").Error.Code; code != "MalformedPolicyDocument" {
		t.Errorf("MalformedPolicyDocumentException has the code %q", code)
	}
	if !findShape(t, &bedrockruntime.Model, "ResponseStream").EventStream {
		t.Error("ResponseStream is no event stream")
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, s *awsapi.Service) {
		for i := range s.Shapes {
			sh := &s.Shapes[i]
			if _, err := regexp.Compile(sh.Regexp()); err != nil {
				t.Errorf("%s: %v", sh.Name, err)
			}
			if sh.Pattern != "" && sh.Kind != awsapi.String {
				t.Errorf("%s: pattern on kind %d", sh.Name, sh.Kind)
			}
		}
	})
}

// Patterns that Go cannot compile as modelled or that the models have wrong, and
// the anchors.
func TestPatternMatches(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 1025)
	for _, c := range []struct {
		service *awsapi.Service
		shape   string
		yes, no []string
	}{
		{
			&sts.Model, "arnType",
			[]string{"arn:aws:iam::1:role/a", "é\t\U0001F600", "\u0085"},
			[]string{"", "a\x00b", "\u0080", "\uFFFE"},
		},
		{&sts.Model, "sessionPolicyDocumentType", []string{"{\"a\":\n1}", "ÿ"}, []string{"", "\u0100", "\x0b"}},
		{&bedrockagent.Model, "OpenSearchManagedClusterIndexName", []string{"a", "0-_."}, []string{"", "-a", "_a", "+a", ".a", "A", "a+"}},
		{
			&bedrockagentruntime.Model, "QueryGenerationInputTextString",
			[]string{"a", " a", " \na", "a\n"},
			[]string{"", " ", " \n\t", "\na"},
		},
		{&bedrockagentruntime.Model, "S3Uri", []string{"s3://abc/k", "s3://abc/" + long[1:]}, []string{"s3://abc/", "s3://abc/" + long, "xs3://abc/k"}},
		{&bedrock.Model, "kBS3Uri", []string{"s3://abc/k", "s3://abc/" + long[1:]}, []string{"s3://abc/", "s3://abc/" + long, "xs3://abc/k"}},
		{
			&bedrock.Model, "ModelPackageArn",
			[]string{"arn:aws:sagemaker:us-east-1:123456789012:model-package/a/1", "arn:aws:sagemaker:us-east-1:123456789012:model-package/" + long + long[2:]},
			[]string{"arn:aws:sagemaker:us-east-1:123456789012:model-package/", "arn:aws:sagemaker:us-east-1:123456789012:model-package/" + long + long},
		},
		{
			&bedrockagent.Model, "TaggableResourcesArn",
			[]string{
				"arn:aws:bedrock:us-east-1:123456789012:agent/ABCDEFGHIJ", "arn:aws:bedrock:us-east-1:123456789012:agent-alias/ABCDEFGHIJ/KLMNOPQRST",
				"arn:aws:bedrock:us-east-1:123456789012:flow/ABCDEFGHIJ/alias/KLMNOPQRST", "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:12",
				"arn:aws:bedrock:us-east-1:123456789012:retrieval-instruction/abcdefghij",
			},
			[]string{
				"arn:aws:bedrock:us-east-1:/dddddddddddd:agent/ABCDEFGHIJ", "arn:aws:bedrock:us-east-1:12345678901:agent/ABCDEFGHIJ",
				"arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:/d", "xarn:aws:bedrock:us-east-1:123456789012:agent/ABCDEFGHIJ",
			},
		},
		{&bedrockruntime.Model, "AsyncInvokeIdempotencyToken", []string{"", "a-1"}, []string{"a b", "a\n", "\na"}},
		{&bedrockruntime.Model, "GuardrailVersion", []string{"", "1", "DRAFT"}, []string{"0", "draft", "1.0"}},
		{&bedrockruntime.Model, "InvokeModelIdentifier", modelIDs(), []string{"", "no such model", "a b.c"}},
		{&bedrockruntime.Model, "ConversationalModelId", modelIDs(), []string{"", "no such model", "a b.c"}},
	} {
		re := regexp.MustCompile(findShape(t, c.service, c.shape).Regexp())
		for _, s := range c.yes {
			if !re.MatchString(s) {
				t.Errorf("%s refuses %.60q", c.shape, s)
			}
		}
		for _, s := range c.no {
			if re.MatchString(s) {
				t.Errorf("%s accepts %.60q", c.shape, s)
			}
		}
	}
}

// modelIDs are ids of models, profiles and resources that clients send.
func modelIDs() []string {
	return []string{
		"anthropic.claude-v2", "anthropic.claude-v2:1", "anthropic.claude-instant-v1",
		"anthropic.claude-3-5-sonnet-20240620-v1:0", "us.anthropic.claude-3-haiku-20240307-v1:0",
		"global.anthropic.claude-sonnet-4-20250514-v1:0", "amazon.titan-embed-text-v2:0", "amazon.nova-micro-v1:0",
		"amazon.nova-lite-v1:0:300k", "meta.llama3-1-8b-instruct-v1:0", "mistral.mixtral-8x7b-instruct-v0:1",
		"cohere.command-r-plus-v1:0", "ai21.jamba-1-5-mini-v1:0", "openai.gpt-oss-20b-1:0", "deepseek.r1-v1:0",
		"qwen.qwen3-32b-v1:0", "huggingface.smollm2-135m-instruct-v1:0", "google.gemma-3-270m-v1:0",
		"sentence-transformers.all-minilm-l6-v2-v1:0",
		"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2",
		"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0",
		"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdef012345",
		"arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdef012345",
		"arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdef012345",
	}
}

func findShape(t *testing.T, s *awsapi.Service, name string) *awsapi.Shape {
	t.Helper()
	for i := range s.Shapes {
		if s.Shapes[i].Name == name {
			return s.Shape(awsapi.ShapeID(i))
		}
	}
	t.Fatalf("%s: no shape %s", s.Name, name)
	return nil
}

// Member i of a table must be field i of the struct, with the Go type that the
// kind of its shape stands for. Structs of all shapes are looked at, and the
// inputs and outputs of all operations are among them.
func TestTypesMatchTables(t *testing.T) {
	t.Parallel()
	types := map[*awsapi.Shape]reflect.Type{}
	for _, g := range goTypes() {
		types[findShape(t, g.service, g.shape)] = g.typ
	}
	for _, s := range models() {
		for i := range s.Shapes {
			sh := &s.Shapes[i]
			if sh.Kind == awsapi.Structure || sh.Kind == awsapi.Union {
				checkStruct(t, s, sh, types)
			}
		}
	}
	ops := goOps()
	n := 0
	for _, s := range models() {
		n += len(s.Operations)
	}
	if len(ops) != n {
		t.Errorf("%d typed operations, want %d", len(ops), n)
	}
	for _, o := range ops {
		if in := types[o.service.Shape(o.op.Input)]; in != o.in || in.Name() != o.op.Name+"Input" {
			t.Errorf("%s: input is %v, table has %v", o.op.Name, o.in, in)
		}
		if out := types[o.service.Shape(o.op.Output)]; out != o.out || out.Name() != o.op.Name+"Output" {
			t.Errorf("%s: output is %v, table has %v", o.op.Name, o.out, out)
		}
	}
}

func checkStruct(t *testing.T, s *awsapi.Service, sh *awsapi.Shape, types map[*awsapi.Shape]reflect.Type) {
	t.Helper()
	typ := types[sh]
	if typ == nil {
		t.Errorf("%s: %s has no Go type", s.Name, sh.Name)
		return
	}
	if typ.NumField() != len(sh.Members) {
		t.Errorf("%v: %d fields, %d members", typ, typ.NumField(), len(sh.Members))
		return
	}
	for i := range sh.Members {
		m, f := &sh.Members[i], typ.Field(i)
		if !strings.EqualFold(f.Name, m.Name) || !f.IsExported() {
			t.Errorf("%v: field %s, member %s", typ, f.Name, m.Name)
		}
		target := s.Shape(m.Shape)
		if m.Sensitive != target.Sensitive {
			t.Errorf("%v.%s: sensitive is %t", typ, f.Name, m.Sensitive)
		}
		ft := f.Type
		switch target.Kind {
		case awsapi.List, awsapi.Map, awsapi.Blob, awsapi.JSON:
		default:
			if target.EventStream {
				if ft != reflect.TypeFor[awsapi.Events]() {
					t.Errorf("%v.%s: %v is no event stream", typ, f.Name, ft)
				}
				continue
			}
			if ft.Kind() != reflect.Pointer {
				t.Errorf("%v.%s: %v is no pointer", typ, f.Name, ft)
				continue
			}
			ft = ft.Elem()
		}
		checkType(t, typ.String()+"."+f.Name, s, m.Shape, ft, types)
	}
}

// checkType checks that a value of a shape has the Go type that is due to it.
func checkType(t *testing.T, where string, s *awsapi.Service, id awsapi.ShapeID, got reflect.Type, types map[*awsapi.Shape]reflect.Type) {
	t.Helper()
	sh := s.Shape(id)
	want := map[awsapi.Kind]reflect.Type{
		awsapi.Structure: types[sh], awsapi.Union: types[sh],
		awsapi.Integer: reflect.TypeFor[int32](), awsapi.Long: reflect.TypeFor[int64](),
		awsapi.Float: reflect.TypeFor[float32](), awsapi.Double: reflect.TypeFor[float64](),
		awsapi.Boolean: reflect.TypeFor[bool](), awsapi.Blob: reflect.TypeFor[[]byte](),
		awsapi.Timestamp: reflect.TypeFor[time.Time](), awsapi.JSON: reflect.TypeFor[awsapi.Document](),
	}[sh.Kind]
	switch sh.Kind {
	case awsapi.String:
		named := got.Name() != "string"
		if got.Kind() != reflect.String || named != (len(sh.Enum) > 0) {
			t.Errorf("%s: %v for the string %s", where, got, sh.Name)
		}
		return
	case awsapi.List:
		if got.Kind() != reflect.Slice {
			t.Errorf("%s: %v for the list %s", where, got, sh.Name)
			return
		}
		checkType(t, where+"[]", s, sh.Elem, got.Elem(), types)
		return
	case awsapi.Map:
		if got.Kind() != reflect.Map || got.Key() != reflect.TypeFor[string]() || s.Shape(sh.Key).Kind != awsapi.String {
			t.Errorf("%s: %v for the map %s", where, got, sh.Name)
			return
		}
		checkType(t, where+"{}", s, sh.Elem, got.Elem(), types)
		return
	}
	if want == nil || got != want {
		t.Errorf("%s: %v for %s, want %v", where, got, sh.Name, want)
	}
}
