package restjson

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

func TestDecodePlaces(t *testing.T) {
	t.Parallel()
	svc := toy()
	day := time.Date(2025, 1, 2, 3, 4, 5, 678901e3, time.UTC)
	noon := time.Date(2024, 1, 31, 12, 0, 0, 0, time.UTC)
	got := new(toyIn)
	err := New().Decode(svc, &svc.Operations[0], Request{
		Labels: []string{"a/b%2F"},
		Query:  "when=2025-01-02T03%3A04%3A05.678901Z&flag=true&count=-9&ratio=0.5&name=a+b&name=c%20d%2B&name=&day=1706702400&%64ay=2024-01-31T13:00:00%2B01:00&other=%41&&X-Amz-Date=x",
		Header: http.Header{"X-Head": {"h"}, "X-Raw": {"//8="}, "X-Date": {"Wed, 31 Jan 2024 12:00:00 GMT"}, "X-Size": {"7"}},
		Body:   []byte(`{"needed":"n","re\"name":"r","time":"2024-01-31T13:00:00+01:00","epoch":1706702400.5,"docs":[null,1,{"a":[]}],"double":"-Infinity","bytes":"","label":"not here","float":1e-3}`),
	}, got)
	if err != nil {
		t.Fatal(err)
	}
	half := noon.Add(500 * time.Millisecond)
	want := &toyIn{
		Label: new("a/b%2F"), When: &day, Flag: new(true), Count: new(int64(-9)), Ratio: new(0.5), Names: []string{"a b", "c d+", ""}, Days: []time.Time{noon, noon},
		Head: new("h"), Raw: []byte{255, 255}, Date: &noon, Size: new(int32(7)),
		Needed: new("n"), Rename: new("r"), Time: &noon, Epoch: &half,
		Docs: []awsapi.Document{awsapi.Document("null"), awsapi.Document("1"), awsapi.Document(`{"a":[]}`)}, Double: got.Double, Bytes: []byte{}, Float: new(float32(0.001)),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got.Double == nil || *got.Double > -1e308 {
		t.Error("-Infinity is lost")
	}
}

func TestDecodeRefusesPlaces(t *testing.T) {
	t.Parallel()
	svc := toy()
	for name, c := range map[string]struct {
		query  string
		header http.Header
		want   string
	}{
		"bad key escape":       {query: "%zz=1", want: "malformed percent escape"},
		"bad value escape":     {query: "flag=%2", want: "'flag' has a malformed percent escape"},
		"semicolon":            {query: "flag=true;count=1", want: "'flag' has a malformed"},
		"invalid UTF-8":        {query: "name=%FF", want: "'names' is not valid UTF-8"},
		"twice":                {query: "flag=true&flag=true", want: "'flag' must not stand twice"},
		"boolean":              {query: "flag=1", want: "'flag' must be true or false"},
		"integer":              {query: "count=1.0", want: "'count' must be an integer between -9223372036854775808 and 9223372036854775807"},
		"number":               {query: "ratio=x", want: "'ratio' must be a number"},
		"timestamp":            {query: "when=yesterday", want: "'when' must be a timestamp"},
		"timestamp in list":    {query: "day=", want: "'days' must be a timestamp"},
		"year":                 {query: "when=253402300800", want: "'when' must be a timestamp"},
		"header twice":         {header: http.Header{"X-Head": {"a", "a"}}, want: "The header X-Head must not stand twice"},
		"header UTF-8":         {header: http.Header{"X-Head": {"\xff"}}, want: "The header X-Head is not valid UTF-8"},
		"header base64":        {header: http.Header{"X-Raw": {"?"}}, want: "'raw' must be base64 text"},
		"header integer range": {header: http.Header{"X-Size": {"2147483648"}}, want: "'size' must be an integer between -2147483648 and 2147483647"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := New().Decode(svc, &svc.Operations[0], Request{Labels: []string{"l"}, Query: c.query, Header: c.header}, new(toyIn))
			wantError(t, err, apierr.CodeValidation, c.want)
		})
	}
}

func TestDecodeTimestamps(t *testing.T) {
	t.Parallel()
	svc := toy()
	for text, want := range map[string]string{
		`"2024-01-31T12:00:00Z"`:           "2024-01-31T12:00:00Z",
		`"2024-01-31T12:00:00.123456789Z"`: "2024-01-31T12:00:00.123456789Z",
		`1706702400`:                       "2024-01-31T12:00:00Z",
		`1.7067024e9`:                      "2024-01-31T12:00:00Z",
		`-1`:                               "1969-12-31T23:59:59Z",
		`"1706702400"`:                     "",
		`"2024-02-30T12:00:00Z"`:           "",
		`"2024-01-31"`:                     "",
		`"0000-01-01T00:00:00Z"`:           "",
		`1e300`:                            "",
		`true`:                             "",
		`"\ud800"`:                         "",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			in := new(toyIn)
			err := New().Decode(svc, &svc.Operations[0], Request{Body: []byte(`{"time":` + text + `}`)}, in)
			if want == "" {
				wantError(t, err, apierr.CodeSerialization, "'time'")
				return
			}
			if err != nil || in.Time.Format(time.RFC3339Nano) != want {
				t.Errorf("%v, %v; want %s", in.Time, err, want)
			}
		})
	}
}

func TestDecodeRefusesEveryKind(t *testing.T) {
	t.Parallel()
	svc := toy()
	for body, want := range map[string]string{
		`{"map":[]}`:                   "'map' must be an object, not an array",
		`{"map":{"a"}}`:                "'map' is not valid JSON",
		`{"map":{"a":"b"`:              "'map' is not valid JSON",
		`{"map":{"a":"b",}}`:           "'map' is not valid JSON",
		`{"map":{a:"b"}}`:              "'map' is not valid JSON",
		`{"map":{"a":1}}`:              "'map.a.member' must be a string, not a number",
		`{"list":["a" "b"]}`:           "'list' is not valid JSON",
		`{"list":[true]}`:              "'list.1.member' must be a string, not a boolean",
		`{"bytes":true}`:               "'bytes' must be a string of base64 text, not a boolean",
		`{"bytes":"a`:                  "'bytes' has a malformed string",
		`{"text":"a`:                   "'text' has a malformed string",
		`{"double":"inf"}`:             "'double' must be a number, not a string",
		`{"double":"a`:                 "'double' has a malformed string",
		`{"double":1e}`:                "'double' has a malformed number",
		`{"time":-}`:                   "'time' has a malformed number",
		`{"int":1`:                     "'body' is not valid JSON",
		`{"int":-.5}`:                  "'int' has a malformed number",
		`{"long":9223372036854775808}`: "'long' must be between -9223372036854775808 and 9223372036854775807",
		`{"long":9.3e18}`:              "'long' must be between",
		`{"doc":{"a":}}`:               "'doc' is not valid JSON",
		`{"doc":{"a" 1}}`:              "'doc' is not valid JSON",
		`{"doc":{1:1}}`:                "'doc' is not valid JSON",
		`{"doc":[1,]}`:                 "'doc' is not valid JSON",
		`{"doc":nul}`:                  "'doc' is not valid JSON",
		`{"inner":"x"}`:                "'inner' must be an object, not a string",
		`{"inner":` + strings.Repeat(`{"deep":`, 100) + `{}`: "is nested too deeply: at most 100 levels",
	} {
		t.Run(body[:min(len(body), 40)], func(t *testing.T) {
			t.Parallel()
			err := New().Decode(svc, &svc.Operations[0], Request{Body: []byte(body)}, new(toyIn))
			wantError(t, err, apierr.CodeSerialization, want)
		})
	}
}

func TestNamedFloats(t *testing.T) {
	t.Parallel()
	svc := toy()
	in := new(toyIn)
	if err := New().Decode(svc, &svc.Operations[0], Request{Body: []byte(`{"double":"NaN","float":"Infinity"}`)}, in); err != nil {
		t.Fatal(err)
	}
	if !math.IsNaN(*in.Double) || !math.IsInf(float64(*in.Float), 1) {
		t.Errorf("%v %v", *in.Double, *in.Float)
	}
}

func TestDecodeLimitsMemory(t *testing.T) {
	t.Parallel()
	svc := toy()
	for name, body := range map[string]string{
		"items":   `{"inners":[` + strings.Repeat("{},", 1<<20) + `{}]}`,
		"structs": `{"inners":[` + strings.Repeat(`{"deep":{}},`, 1<<18) + `{}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := new(toyIn)
			err := New().Decode(svc, &svc.Operations[0], Request{Body: []byte(body)}, in)
			if err == nil {
				if size := len(in.Inners) * 16; size > baseBudget+perByte*len(body) {
					t.Errorf("%d bytes of items from %d bytes", size, len(body))
				}
				return
			}
			wantError(t, err, apierr.CodeSerialization, "for the size of the body")
		})
	}
}

func TestMisfitsAreErrors(t *testing.T) {
	t.Parallel()
	svc := toy()
	c := New()
	op := &svc.Operations[0]
	for _, dst := range []any{nil, toyIn{}, (*toyIn)(nil), new(int), new(inner)} {
		if err := c.Decode(svc, op, Request{}, dst); err == nil {
			t.Errorf("Decode takes %T", dst)
		}
		if err := c.Validate(svc, op, dst); err == nil {
			t.Errorf("Validate takes %T", dst)
		}
		if _, _, _, err := c.TokenOf(svc, op, dst); err == nil {
			t.Errorf("TokenOf takes %T", dst)
		}
		if _, err := c.AppendOutput(nil, svc, op, dst); err == nil {
			t.Errorf("AppendOutput takes %T", dst)
		}
	}
	if err := c.Decode(svc, op, Request{}, new(toyIn)); err != nil {
		t.Fatal(err)
	}
	if err := c.Decode(svc, op, Request{}, new(toyOut)); err == nil {
		t.Error("another type is taken after the right one")
	}
}

func TestTablesThatDoNotFit(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*awsapi.Service){
		"kind":             func(s *awsapi.Service) { s.Shapes[toyText].Kind = awsapi.Integer },
		"members":          func(s *awsapi.Service) { s.Shapes[toyInner].Members = nil },
		"list":             func(s *awsapi.Service) { s.Shapes[toyText].Kind = awsapi.List },
		"map":              func(s *awsapi.Service) { s.Shapes[toyText].Kind = awsapi.Map },
		"label":            func(s *awsapi.Service) { s.Operations[0].URI = "/do/{other}" },
		"no label":         func(s *awsapi.Service) { s.Operations[0].URI = "/do" },
		"map in query":     func(s *awsapi.Service) { s.Shapes[toyInput].Members[23].Location = awsapi.InQuery },
		"list in header":   func(s *awsapi.Service) { s.Shapes[toyInput].Members[22].Location = awsapi.InHeader },
		"prefix headers":   func(s *awsapi.Service) { s.Shapes[toyInput].Members[23].Location = awsapi.InHeaders },
		"status in inputs": func(s *awsapi.Service) { s.Shapes[toyInput].Members[18].Location = awsapi.InStatusCode },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			svc := toy()
			change(svc)
			if err := New().Decode(svc, &svc.Operations[0], Request{}, new(toyIn)); err == nil {
				t.Error("accepted")
			}
		})
	}
	svc := toy()
	svc.Shapes[toyOutput].Members[3].Location = awsapi.InQuery
	if _, err := New().AppendOutput(nil, svc, &svc.Operations[0], new(toyOut)); err == nil {
		t.Error("a query member in an output is accepted")
	}
}

func TestTokenOf(t *testing.T) {
	t.Parallel()
	svc := toy()
	c := New()
	hash := func(in *toyIn) [32]byte {
		t.Helper()
		_, h, ok, err := c.TokenOf(svc, &svc.Operations[0], in)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		return h
	}
	base := hash(&toyIn{Token: new("t1"), Label: new("l"), Text: new("x")})
	if token, _, _, _ := c.TokenOf(svc, &svc.Operations[0], &toyIn{Token: new("t1")}); token != "t1" {
		t.Errorf("token %q", token)
	}
	if hash(&toyIn{Token: new("t2"), Label: new("l"), Text: new("x")}) != base {
		t.Error("the token counts")
	}
	for name, in := range map[string]*toyIn{
		"label":  {Label: new("m"), Text: new("x")},
		"body":   {Label: new("l"), Text: new("y")},
		"absent": {Label: new("l")},
		"query":  {Label: new("l"), Text: new("x"), Flag: new(false)},
		"header": {Label: new("l"), Text: new("x"), Head: new("")},
	} {
		in.Token = new("t1")
		if hash(in) == base {
			t.Errorf("%s does not count", name)
		}
	}
	if _, _, ok, err := c.TokenOf(svc, &svc.Operations[0], new(toyIn)); ok || err != nil {
		t.Error("a token where none was sent", err)
	}
	if _, _, ok, err := c.TokenOf(svc, &svc.Operations[4], nil); ok || err != nil {
		t.Error("a token where there is no input", err)
	}
	if _, _, ok, err := c.TokenOf(svc, &svc.Operations[2], new(structOut)); ok || err != nil {
		t.Error("a token where the input has none", err)
	}
}

// A body of the largest size that is made of the smallest blocks must not cost
// many times its size, while a request with very many blocks is still read.
func TestDecodeLimitsSmallBlocks(t *testing.T) {
	t.Parallel()
	for n, refused := range map[int]bool{25_000: false, 1_900_000: true} {
		body := `{"messages":[{"role":"user","content":[` + strings.Repeat(`{"text":"a"},`, n) + `{"text":"a"}]}]}`
		_, err := decodeConverse(t, New(), body)
		if !refused && err != nil {
			t.Errorf("%d blocks: %v", n, err)
		}
		if refused {
			wantError(t, err, apierr.CodeSerialization, "for the size of the body")
		}
	}
}

// What is decoded must not hold a large body, nor change with it. Only a blob
// that is the whole body is the body.
func TestDecodedStandsAlone(t *testing.T) {
	t.Parallel()
	c := New()
	body := []byte(`{"messages":[{"role":"user","content":[{"text":"a\u00e9\n\ud83d\ude00z"}]}],"additionalModelRequestFields":{"top_k":5}}`)
	in := new(br.ConverseInput)
	if err := c.Decode(&br.Model, br.OpConverse.Operation, Request{Labels: []string{"m"}, Body: body}, in); err != nil {
		t.Fatal(err)
	}
	clear(body)
	if got := *in.Messages[0].Content[0].Text; got != "a\u00e9\n\U0001f600z" {
		t.Errorf("the text became %q", got)
	}
	if got := string(in.AdditionalModelRequestFields); got != `{"top_k":5}` {
		t.Errorf("the document became %q", got)
	}
	raw := []byte("{}")
	whole := new(br.InvokeModelInput)
	if err := c.Decode(&br.Model, br.OpInvokeModel.Operation, Request{Labels: []string{"m"}, Body: raw}, whole); err != nil || &whole.Body[0] != &raw[0] {
		t.Errorf("the whole body was copied: %v", err)
	}
}
