package restjson

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	sdk "github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

func TestAppendOutput(t *testing.T) {
	t.Parallel()
	svc := toy()
	c := New()
	at := time.Date(2024, 1, 31, 13, 0, 0, 0, time.FixedZone("", 3600))
	ms := at.Add(5 * time.Millisecond)
	r, err := c.AppendOutput([]byte("kept"), svc, &svc.Operations[0], &toyOut{
		Status: new(int32(202)), Head: new("v"), At: &at, Text: new("<a&b>\"\\/\n\x01\u2028😀"), Doc: awsapi.Document(` {"a" : 1.50}`), Time: &ms,
		List: []*string{new("x")}, Map: map[string]*inner{"b": {}, "a": {Needed: new("n")}}, Double: new(1e21),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Response{
		Status: 202, ContentType: "application/json", Headers: []HeaderField{{"X-Head", "v"}, {"X-At", "Wed, 31 Jan 2024 12:00:00 GMT"}},
		Body: []byte(`kept{"text":"<a&b>\"\\/\n\u0001` + "\u2028" + `😀","doc": {"a" : 1.50},"time":"2024-01-31T12:00:00.005Z","list":["x"],"map":{"a":{"needed":"n"},"b":{}},"double":1e+21}`),
	}
	if d := cmp.Diff(want, r); d != "" {
		t.Error(d)
	}
}

func TestAppendOutputPayloads(t *testing.T) {
	t.Parallel()
	svc := toy()
	c := New()
	body := []byte{0, 255}
	events := awsapi.Events(func(func(any, error) bool) {})
	for name, tc := range map[string]struct {
		op   int
		out  any
		want Response
	}{
		"blob":         {1, &payloadOut{Type: new("image/png"), Body: body}, Response{Status: 200, ContentType: "image/png", Body: body}},
		"struct":       {2, &structOut{&inner{Needed: new("n")}}, Response{Status: 201, ContentType: ContentType, Body: []byte(`{"needed":"n"}`)}},
		"no struct":    {2, &structOut{}, Response{Status: 201, ContentType: ContentType, Body: []byte(`{}`)}},
		"stream":       {3, &streamOut{events}, Response{Status: 200, ContentType: "application/vnd.amazon.eventstream", Stream: toyStream}},
		"no output":    {4, nil, Response{Status: 200, ContentType: ContentType, Body: []byte(`{}`)}},
		"no content":   {5, &toyOut{Text: new("x")}, Response{Status: 204}},
		"empty output": {0, &toyOut{}, Response{Status: 200, ContentType: ContentType, Body: []byte(`{}`)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.AppendOutput(nil, svc, &svc.Operations[tc.op], tc.out)
			if err != nil {
				t.Fatal(err)
			}
			if (got.Events != nil) != (name == "stream") {
				t.Error("events")
			}
			got.Events = nil
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAppendOutputRefuses(t *testing.T) {
	t.Parallel()
	svc := toy()
	c := New()
	late := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		op  int
		out any
	}{
		"no events":         {3, &streamOut{}},
		"cut document":      {0, &toyOut{Doc: awsapi.Document(`{"a":`)}},
		"empty document":    {0, &toyOut{Doc: awsapi.Document{}}},
		"two documents":     {0, &toyOut{Doc: awsapi.Document(`1 2`)}},
		"document UTF-8":    {0, &toyOut{Doc: awsapi.Document("\"\xff\"")}},
		"year 10000":        {0, &toyOut{Time: &late}},
		"nil item":          {0, &toyOut{List: []*string{nil}}},
		"nil entry":         {0, &toyOut{Map: map[string]*inner{"a": nil}}},
		"not the op's type": {0, new(inner)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r, err := c.AppendOutput(nil, svc, &svc.Operations[tc.op], tc.out); err == nil {
				t.Errorf("accepted: %s", r.Body)
			}
		})
	}
}

func TestAppendFloat(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]string{
		0: "0", 0.1: "0.1", -1.5: "-1.5", 100: "100", 1e20: "100000000000000000000", 1e21: "1e+21", 1e-6: "0.000001", 1e-7: "1e-07",
		math.Inf(1): `"Infinity"`, math.Inf(-1): `"-Infinity"`, math.MaxFloat64: "1.7976931348623157e+308",
	} {
		if got := string(appendFloat(nil, x, 64)); got != want {
			t.Errorf("%v: %s, want %s", x, got, want)
		}
	}
	if got := string(appendFloat(nil, float64(float32(0.1)), 32)); got != "0.1" {
		t.Errorf("float32 0.1: %s", got)
	}
	if got := string(appendFloat(nil, math.NaN(), 64)); got != `"NaN"` {
		t.Errorf("NaN: %s", got)
	}
}

func FuzzString(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\"\\\n\u2028\xff\xed\xa0\x80😀\x7f")
	f.Fuzz(func(t *testing.T, s string) {
		got := appendString(nil, s)
		var back string
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		var want strings.Builder
		for _, r := range s { // a bad byte is one U+FFFD
			want.WriteRune(r)
		}
		if back != want.String() {
			t.Fatalf("%q becomes %q", s, back)
		}
		sc := scanner{buf: got}
		raw, escaped, fl := sc.str()
		if fl != "" || sc.pos != len(got) {
			t.Fatalf("%q: %s", got, fl)
		}
		if escaped {
			raw = appendUnescaped(nil, raw)
		}
		if string(raw) != want.String() {
			t.Fatalf("%q is read as %q", got, raw)
		}
	})
}

// FuzzScan holds the scanner against encoding/json: they agree on what is JSON,
// but for depth and keys that stand twice.
func FuzzScan(f *testing.F) {
	for _, s := range []string{`{"a":[1,-0.5e+7,"x\u00e9\ud83d\ude00",true,null]}`, `[]`, `""`, ` 1 `, `{"a":1,"a":2}`, `01`, `-`, `1.`, "\"\x7f\"", `"\u12"`, `[1,]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !utf8.Valid(b) {
			return
		}
		s := scanner{buf: b}
		fl := s.skip()
		ok := fl == "" && s.token() == 0 && s.pos == len(b)
		if fl == faultDepth || fl == faultDuplicate {
			return
		}
		want := json.Valid(b)
		if ok != want && !bytes.Contains(b, []byte(`\u`)) { // encoding/json takes lone surrogates
			t.Fatalf("%q: %q, encoding/json says %v", b, fl, want)
		}
		if ok && !want {
			t.Fatalf("%q accepted", b)
		}
	})
}

// decodeFrame reads a frame with the AWS SDK.
func decodeFrame(t *testing.T, b []byte) (headers map[string]string, payload string) {
	t.Helper()
	m, err := sdk.NewDecoder().Decode(bytes.NewReader(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	headers = make(map[string]string)
	for _, h := range m.Headers {
		headers[h.Name] = h.Value.String()
	}
	return headers, string(m.Payload)
}

func TestEvents(t *testing.T) {
	t.Parallel()
	svc := toy()
	c := New()
	for name, tc := range map[string]struct {
		ev            any
		kind, payload string
	}{
		"note":            {&toyEvent{Note: &inner{Needed: new("ü")}}, "event", `{"needed":"ü"}`},
		"bytes":           {&toyEvent{Bytes: &eventBytes{[]byte("hi")}}, "event", `{"bytes":"aGk="}`},
		"brokenException": {&toyEvent{Broken: &struct{ Message *string }{new("m")}}, "exception", `{"message":"m"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, payload, err := c.AppendEvent([]byte("k"), svc, toyStream, tc.ev)
			if err != nil || got != name || string(payload) != "k"+tc.payload {
				t.Errorf("%s %s, %v", got, payload, err)
			}
			frame, err := c.AppendEventFrame([]byte("k"), svc, toyStream, tc.ev)
			if err != nil {
				t.Fatal(err)
			}
			headers, body := decodeFrame(t, frame[1:])
			want := map[string]string{":" + tc.kind + "-type": name, ":content-type": "application/json", ":message-type": tc.kind}
			if d := cmp.Diff(want, headers); d != "" || body != tc.payload {
				t.Errorf("%s %s", d, body)
			}
		})
	}
	for name, ev := range map[string]any{
		"nil": nil, "no pointer": toyEvent{}, "no member": &toyEvent{}, "two members": &toyEvent{Note: &inner{}, Bytes: &eventBytes{}}, "another type": &inner{},
	} {
		if _, b, err := c.AppendEvent([]byte("k"), svc, toyStream, ev); err == nil || string(b) != "k" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		if b, err := c.AppendEventFrame([]byte("k"), svc, toyStream, ev); err == nil || string(b) != "k" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

func TestEventWithBrokenDocument(t *testing.T) {
	t.Parallel()
	c := New()
	id := streamID(t, &br.Model, br.OpConverseStream.Operation)
	ev := &br.ConverseStreamEvent{MessageStop: &br.MessageStopEvent{StopReason: new(br.StopReasonEndTurn), AdditionalModelResponseFields: awsapi.Document("{")}}
	if b, err := c.AppendEventFrame([]byte("k"), &br.Model, id, ev); err == nil || string(b) != "k" {
		t.Errorf("%q, %v", b, err)
	}
	if _, b, err := c.AppendEvent([]byte("k"), &br.Model, id, ev); err == nil || string(b) != "k" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestErrorFrames(t *testing.T) {
	t.Parallel()
	id := streamID(t, &br.Model, br.OpConverseStream.Operation)
	e := apierr.ModelStreamError("engine \"died\"")
	e.OriginalStatus, e.OriginalMessage = 500, "boom"
	b, err := AppendErrorFrame(nil, &br.Model, id, e)
	if err != nil {
		t.Fatal(err)
	}
	headers, payload := decodeFrame(t, b)
	want := map[string]string{":exception-type": "modelStreamErrorException", ":content-type": "application/json", ":message-type": "exception"}
	if d := cmp.Diff(want, headers); d != "" || payload != `{"message":"engine \"died\"","originalStatusCode":500,"originalMessage":"boom"}` {
		t.Error(d, payload)
	}
	if b, err = AppendErrorFrame(nil, &br.Model, id, apierr.AccessDenied("no")); err != nil {
		t.Fatal(err)
	}
	headers, payload = decodeFrame(t, b)
	want = map[string]string{":error-code": "AccessDeniedException", ":error-message": "no", ":message-type": "error"}
	if d := cmp.Diff(want, headers); d != "" || payload != "" {
		t.Error(d, payload)
	}
}

func TestAppendError(t *testing.T) {
	t.Parallel()
	if got := string(AppendError([]byte("k"), apierr.Validation("a\"b"))); got != `k{"message":"a\"b"}` {
		t.Error(got)
	}
}
