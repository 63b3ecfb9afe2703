package restjson

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

func TestConstraintBoundaries(t *testing.T) {
	t.Parallel()
	svc := toy()
	c := New()
	ok := func() *toyIn { return &toyIn{Label: new("l"), Needed: new("")} }
	with := func(f func(*toyIn)) *toyIn {
		in := ok()
		f(in)
		return in
	}
	for name, tc := range map[string]struct {
		in   *toyIn
		want string // "" means valid
	}{
		"required":           {&toyIn{Label: new("l")}, "1 validation error detected: Value null at 'needed' failed to satisfy constraint: Member must not be null"},
		"nothing optional":   {ok(), ""},
		"text short":         {with(func(in *toyIn) { in.Text = new("a") }), "Value 'a' at 'text' failed to satisfy constraint: Member must have length greater than or equal to 2"},
		"text least":         {with(func(in *toyIn) { in.Text = new("éé") }), ""},
		"text most":          {with(func(in *toyIn) { in.Text = new("😀😀😀😀") }), ""},
		"text long":          {with(func(in *toyIn) { in.Text = new("abcde") }), "Value 'abcde' at 'text' failed to satisfy constraint: Member must have length less than or equal to 4"},
		"bytes short":        {with(func(in *toyIn) { in.Bytes = []byte{1} }), "Value at 'bytes' failed to satisfy constraint: Member must have length greater than or equal to 2"},
		"bytes least":        {with(func(in *toyIn) { in.Bytes = make([]byte, 2) }), ""},
		"bytes most":         {with(func(in *toyIn) { in.Bytes = make([]byte, 4) }), ""},
		"bytes long":         {with(func(in *toyIn) { in.Bytes = make([]byte, 5) }), "less than or equal to 4"},
		"int low":            {with(func(in *toyIn) { in.Int = new(int32(1)) }), "Value '1' at 'int' failed to satisfy constraint: Member must have value greater than or equal to 2"},
		"int least":          {with(func(in *toyIn) { in.Int = new(int32(2)) }), ""},
		"int most":           {with(func(in *toyIn) { in.Int = new(int32(4)) }), ""},
		"int high":           {with(func(in *toyIn) { in.Int = new(int32(5)) }), "Value '5' at 'int' failed to satisfy constraint: Member must have value less than or equal to 4"},
		"long low":           {with(func(in *toyIn) { in.Long = new(int64(-1<<40 - 1)) }), "greater than or equal to -1099511627776"},
		"long least":         {with(func(in *toyIn) { in.Long = new(int64(-1 << 40)) }), ""},
		"long most":          {with(func(in *toyIn) { in.Long = new(int64(1 << 40)) }), ""},
		"long high":          {with(func(in *toyIn) { in.Long = new(int64(1<<40 + 1)) }), "less than or equal to 1099511627776"},
		"float low":          {with(func(in *toyIn) { in.Float = new(float32(-math.SmallestNonzeroFloat32)) }), "greater than or equal to 0"},
		"float least":        {with(func(in *toyIn) { in.Float = new(float32(0)) }), ""},
		"float most":         {with(func(in *toyIn) { in.Float = new(float32(1)) }), ""},
		"float high":         {with(func(in *toyIn) { in.Float = new(math.Nextafter32(1, 2)) }), "Value '1.0000001' at 'float' failed to satisfy constraint: Member must have value less than or equal to 1"},
		"double low":         {with(func(in *toyIn) { in.Double = new(math.Nextafter(-0.5, -1)) }), "greater than or equal to -0.5"},
		"double least":       {with(func(in *toyIn) { in.Double = new(-0.5) }), ""},
		"double most":        {with(func(in *toyIn) { in.Double = new(0.5) }), ""},
		"double high":        {with(func(in *toyIn) { in.Double = new(math.Nextafter(0.5, 1)) }), "less than or equal to 0.5"},
		"double NaN":         {with(func(in *toyIn) { in.Double = new(math.NaN()) }), "2 validation errors detected: Value 'NaN'"},
		"list short":         {with(func(in *toyIn) { in.List = []string{} }), "Value at 'list' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		"list least":         {with(func(in *toyIn) { in.List = []string{"ab"} }), ""},
		"list most":          {with(func(in *toyIn) { in.List = []string{"ab", "ab"} }), ""},
		"list long":          {with(func(in *toyIn) { in.List = []string{"ab", "ab", "ab"} }), "less than or equal to 2"},
		"list item":          {with(func(in *toyIn) { in.List = []string{"ab", "a"} }), "Value 'a' at 'list.2.member' failed to satisfy constraint: Member must have length greater than or equal to 2"},
		"map short":          {with(func(in *toyIn) { in.Map = map[string]string{} }), "Value at 'map' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		"map least":          {with(func(in *toyIn) { in.Map = map[string]string{"a": ""} }), ""},
		"map most":           {with(func(in *toyIn) { in.Map = map[string]string{"abc": "", "b": "xy"} }), ""},
		"map long":           {with(func(in *toyIn) { in.Map = map[string]string{"a": "", "b": "", "c": ""} }), "less than or equal to 2"},
		"map key":            {with(func(in *toyIn) { in.Map = map[string]string{"abcd": "xyz"} }), "1 validation error detected: Value 'abcd' at 'map.abcd.member' failed to satisfy constraint: Member must have length less than or equal to 3"},
		"map value":          {with(func(in *toyIn) { in.Map = map[string]string{"a": "xyz"} }), "Value 'xyz' at 'map.a.member' failed to satisfy constraint: Member must have length less than or equal to 2"},
		"enum":               {with(func(in *toyIn) { in.Color = new(color("blue")) }), "Value 'blue' at 'color' failed to satisfy constraint: Member must satisfy enum value set: [red, green]"},
		"enum case":          {with(func(in *toyIn) { in.Color = new(color("Red")) }), "enum value set"},
		"enum member":        {with(func(in *toyIn) { in.Color = new(color("green")) }), ""},
		"pattern":            {with(func(in *toyIn) { in.Shape = new("ab") }), "Value 'ab' at 'shape' failed to satisfy constraint: Member must satisfy regular expression pattern: a+|b"},
		"pattern, line":      {with(func(in *toyIn) { in.Shape = new("a\n") }), "pattern"},
		"pattern fits":       {with(func(in *toyIn) { in.Shape = new("aaa") }), ""},
		"secret":             {with(func(in *toyIn) { in.Secret = new("SECRET") }), "1 validation error detected: Value at 'secret' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]+"},
		"union none":         {with(func(in *toyIn) { in.Pick = &pick{} }), "Value at 'pick' failed to satisfy constraint: Member must have exactly one member set of: [a, b]"},
		"union two":          {with(func(in *toyIn) { in.Pick = &pick{new("ab"), &inner{Needed: new("")}} }), "exactly one member"},
		"union one":          {with(func(in *toyIn) { in.Pick = &pick{A: new("ab")} }), ""},
		"union inside":       {with(func(in *toyIn) { in.Pick = &pick{A: new("a")} }), "'pick.a'"},
		"nested":             {with(func(in *toyIn) { in.Inner = &inner{Needed: new(""), Deep: &inner{}} }), "Value null at 'inner.deep.needed' failed"},
		"nested in list":     {with(func(in *toyIn) { in.Inners = []inner{{Needed: new("")}, {}} }), "Value null at 'inners.2.member.needed' failed"},
		"nested in map":      {with(func(in *toyIn) { in.ByName = map[string]inner{"k": {}} }), "Value null at 'byName.k.member.needed' failed"},
		"several":            {&toyIn{Text: new("a"), Int: new(int32(9))}, "3 validation errors detected: Value null at 'needed' failed to satisfy constraint: Member must not be null; Value 'a' at 'text' failed to satisfy constraint: Member must have length greater than or equal to 2; Value '9' at 'int' failed"},
		"long value is cut":  {with(func(in *toyIn) { in.Shape = new(strings.Repeat("é", 100)) }), "Value '" + strings.Repeat("é", 64) + "...' at"},
		"too long, no match": {with(func(in *toyIn) { in.Text = new(strings.Repeat("x", 1000)) }), "1 validation error detected"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.Validate(svc, &svc.Operations[0], tc.in)
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, apierr.CodeValidation, tc.want)
		})
	}
}

func TestManyViolationsAreCountedButNotAllListed(t *testing.T) {
	t.Parallel()
	svc := toy()
	err := New().Validate(svc, &svc.Operations[0], &toyIn{Needed: new(""), Inners: make([]inner, 1000)})
	wantError(t, err, apierr.CodeValidation, "1000 validation errors detected: ", "'inners.20.member.needed'", "; and 980 more")
	if strings.Contains(err.Error(), "inners.21.") {
		t.Error("the message lists more than 20")
	}
}

func TestSensitiveHoldersHideWhatTheyHold(t *testing.T) {
	t.Parallel()
	svc := toy()
	svc.Shapes[toyMap].Sensitive = true
	svc.Shapes[toyInput].Members[13].Sensitive = true // text
	in := &toyIn{Needed: new(""), Text: new("PROMPT"), Map: map[string]string{"HIDDENKEY": "x"}}
	err := New().Validate(svc, &svc.Operations[0], in)
	wantError(t, err, apierr.CodeValidation, "2 validation errors", "Value at 'text' failed", "Value at 'map.*.member' failed")
	if strings.Contains(err.Error(), "PROMPT") || strings.Contains(err.Error(), "HIDDENKEY") {
		t.Error(err)
	}
}

func TestBrokenPatternIsNotTheClientsFault(t *testing.T) {
	t.Parallel()
	svc := toy()
	err := New().Validate(svc, &svc.Operations[0], &toyIn{Needed: new(""), BadCode: new("x")})
	if _, isAPI := errors.AsType[*apierr.Error](err); err == nil || isAPI {
		t.Errorf("got %v", err)
	}
}

func TestPatternRemembersOnlyWhatFitted(t *testing.T) {
	t.Parallel()
	svc := toy()
	c := New()
	for range 3 {
		for text, fits := range map[string]bool{"a": true, "aa": true, "ab": false, "": false, strings.Repeat("a", 500): true} {
			err := c.Validate(svc, &svc.Operations[0], &toyIn{Needed: new(""), Shape: new(text)})
			if (err == nil) != fits {
				t.Errorf("%q: %v", text, err)
			}
		}
	}
}

func TestValidateConverse(t *testing.T) {
	t.Parallel()
	c := New()
	for body, want := range map[string]string{
		`{"messages":[{"role":"x","content":[]}]}`:                                         "1 validation error detected: Value 'x' at 'messages.1.member.role' failed to satisfy constraint: Member must satisfy enum value set: [user, assistant",
		`{"inferenceConfig":{"maxTokens":0}}`:                                              "Value '0' at 'inferenceConfig.maxTokens' failed to satisfy constraint: Member must have value greater than or equal to 1",
		`{"inferenceConfig":{"temperature":1.5,"topP":-0.1}}`:                              "2 validation errors detected: Value '1.5' at 'inferenceConfig.temperature' failed to satisfy constraint: Member must have value less than or equal to 1; Value '-0.1' at 'inferenceConfig.topP' failed",
		`{"messages":[{"content":[{"text":"x"}]}]}`:                                        "Value null at 'messages.1.member.role' failed to satisfy constraint: Member must not be null",
		`{"system":[{"text":""}]}`:                                                         "Value '' at 'system.1.member.text' failed to satisfy constraint: Member must have length greater than or equal to 1",
		`{"requestMetadata":{"a|b":"c"}}`:                                                  "Value at 'requestMetadata.*.member' failed", // sensitive
		`{"toolConfig":{"tools":[]}}`:                                                      "Value at 'toolConfig.tools' failed to satisfy constraint: Member must have length greater than or equal to 1",
		`{"toolConfig":{"tools":[{"toolSpec":{"name":"a b","inputSchema":{"json":{}}}}]}}`: "Value 'a b' at 'toolConfig.tools.1.member.toolSpec.name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+",
	} {
		t.Run(body, func(t *testing.T) {
			t.Parallel()
			in, err := decodeConverse(t, c, body)
			if err != nil {
				t.Fatal(err)
			}
			wantError(t, c.Validate(&br.Model, br.OpConverse.Operation, in), apierr.CodeValidation, want)
		})
	}
}
