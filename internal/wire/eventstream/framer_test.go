package eventstream

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

func mustEvent(t testing.TB, name string) Framer {
	t.Helper()
	f, err := NewEventFramer(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestEventFrame(t *testing.T) {
	t.Parallel()
	payload := []byte(`{"contentBlockIndex":0,"delta":{"text":"Hi"}}`)
	f := mustEvent(t, "contentBlockDelta")
	want := sdkFrame(t, []Header{
		{":event-type", StringValue("contentBlockDelta")},
		{":content-type", StringValue("application/json")},
		{":message-type", StringValue("event")},
	}, payload)
	got, err := f.Append(nil, payload)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("Append: %x, %v; want %x", got, err, want)
	}
	b := f.Begin([]byte("ab"))
	b = append(b, payload...)
	if b, err = f.End(b, 2); err != nil || !bytes.Equal(b[2:], want) {
		t.Errorf("Begin and End: %x, %v; want %x", b, err, want)
	}
	if f.Name() != "contentBlockDelta" {
		t.Errorf("name %q", f.Name())
	}
}

func TestExceptionFrame(t *testing.T) {
	t.Parallel()
	b, err := AppendException(nil, "ModelStreamErrorException", []byte(`{"message":"m"}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := sdk.NewDecoder().Decode(bytes.NewReader(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		":exception-type": "modelStreamErrorException",
		":content-type":   "application/json",
		":message-type":   "exception",
	} {
		if got := m.Headers.Get(name); got == nil || got.String() != want {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
	if string(m.Payload) != `{"message":"m"}` {
		t.Errorf("payload %q", m.Payload)
	}
}

func TestErrorFrame(t *testing.T) {
	t.Parallel()
	b, err := AppendError(nil, "InternalFailure", strings.Repeat("ä", 40000))
	if err != nil {
		t.Fatal(err)
	}
	m, err := sdk.NewDecoder().Decode(bytes.NewReader(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Headers.Get(":message-type").String(); got != "error" {
		t.Errorf("message type %q", got)
	}
	if got := m.Headers.Get(":error-code").String(); got != "InternalFailure" {
		t.Errorf("code %q", got)
	}
	if got := m.Headers.Get(":error-message").String(); got != strings.Repeat("ä", 32767) {
		t.Errorf("message of %d bytes is not cut between characters", len(got))
	}
}

func TestExceptionName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"ThrottlingException": "throttlingException",
		"Throttling":          "throttlingException",
		"validationException": "validationException",
		"":                    "internalServerException",
	} {
		if got := ExceptionName(in); got != want {
			t.Errorf("ExceptionName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFramerRefuses(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", strings.Repeat("x", 65536)} {
		if _, err := NewEventFramer(name); !errors.Is(err, ErrMalformed) {
			t.Errorf("name of %d bytes: %v", len(name), err)
		}
	}
	f := mustEvent(t, "chunk")
	big := make([]byte, MaxPayload+1)
	if b, err := f.Append([]byte("kept"), big); !errors.Is(err, ErrTooLarge) || string(b) != "kept" {
		t.Errorf("Append: %d bytes, %v", len(b), err)
	}
	b := append(f.Begin([]byte("kept")), big...)
	if b, err := f.End(b, 4); !errors.Is(err, ErrTooLarge) || string(b) != "kept" {
		t.Errorf("End: %d bytes, %v", len(b), err)
	}
}

func TestEventFrameDoesNotAllocate(t *testing.T) { // not parallel: it counts the process's allocations
	f := mustEvent(t, "contentBlockDelta")
	payload := []byte(`{"contentBlockIndex":0,"delta":{"text":"Hi"}}`)
	buf := make([]byte, 0, 512)
	if n := testing.AllocsPerRun(200, func() {
		buf, _ = f.Append(buf[:0], payload)
		start := len(buf)
		buf = f.Begin(buf)
		buf = append(buf, payload...)
		buf, _ = f.End(buf, start)
	}); n != 0 {
		t.Errorf("%v allocations per frame, want 0", n)
	}
}

func BenchmarkFrame(b *testing.B) {
	f := mustEvent(b, "contentBlockDelta")
	payload := []byte(`{"contentBlockIndex":0,"delta":{"text":" word"}}`)
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = f.Append(buf[:0], payload)
	}
}

func BenchmarkFrameAWS(b *testing.B) {
	hs := sdk.Headers{
		{Name: ":event-type", Value: sdk.StringValue("contentBlockDelta")},
		{Name: ":content-type", Value: sdk.StringValue("application/json")},
		{Name: ":message-type", Value: sdk.StringValue("event")},
	}
	payload := []byte(`{"contentBlockIndex":0,"delta":{"text":" word"}}`)
	enc := sdk.NewEncoder()
	var buf bytes.Buffer
	b.ReportAllocs()
	for b.Loop() {
		buf.Reset()
		if err := enc.Encode(&buf, sdk.Message{Headers: hs, Payload: payload}); err != nil {
			b.Fatal(err)
		}
	}
}
