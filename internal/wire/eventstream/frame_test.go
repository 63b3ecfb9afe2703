package eventstream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/google/go-cmp/cmp"
)

// everyType is one header of each wire type.
func everyType() []Header {
	return []Header{
		{"true", BoolValue(true)},
		{"false", BoolValue(false)},
		{"i8", Int8Value(-8)},
		{"i16", Int16Value(-1600)},
		{"i32", Int32Value(-320000)},
		{"i64", Int64Value(-1 << 62)},
		{"bytes", BytesValue([]byte{0, 1, 255})},
		{"string", StringValue("grüße")},
		{"time", TimestampValue(time.UnixMilli(1735787045678))},
		{"uuid", UUIDValue([16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})},
	}
}

func toSDK(t testing.TB, hs []Header) sdk.Headers {
	t.Helper()
	var out sdk.Headers
	for _, h := range hs {
		var v sdk.Value
		switch h.Value.Type() {
		case TypeTrue, TypeFalse:
			v = sdk.BoolValue(h.Value.Bool())
		case TypeInt8:
			v = sdk.Int8Value(h.Value.Int())
		case TypeInt16:
			v = sdk.Int16Value(h.Value.Int())
		case TypeInt32:
			v = sdk.Int32Value(h.Value.Int())
		case TypeInt64:
			v = sdk.Int64Value(h.Value.Int())
		case TypeBytes:
			v = sdk.BytesValue(h.Value.Bytes())
		case TypeString:
			v = sdk.StringValue(h.Value.String())
		case TypeTimestamp:
			v = sdk.TimestampValue(h.Value.Time())
		case TypeUUID:
			v = sdk.UUIDValue(h.Value.Bytes())
		default:
			t.Fatalf("type %d", h.Value.Type())
		}
		out = append(out, sdk.Header{Name: h.Name, Value: v})
	}
	return out
}

func sdkFrame(t testing.TB, hs []Header, payload []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := sdk.NewEncoder().Encode(&buf, sdk.Message{Headers: toSDK(t, hs), Payload: payload}); err != nil {
		t.Fatalf("AWS encoder: %v", err)
	}
	return buf.Bytes()
}

func TestAppendFrameEqualsAWSEncoder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		headers []Header
		payload string
	}{
		"nothing":      {},
		"payload only": {nil, "abc"},
		"headers only": {everyType(), ""},
		"both":         {everyType(), strings.Repeat("x", 70000)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := AppendFrame([]byte("before"), c.headers, []byte(c.payload))
			if err != nil {
				t.Fatal(err)
			}
			want := sdkFrame(t, c.headers, []byte(c.payload))
			if !bytes.Equal(got[len("before"):], want) {
				t.Errorf("frame\n%x\nwant\n%x", got[len("before"):], want)
			}
			f, n, err := Decode(want)
			if err != nil || n != len(want) {
				t.Fatalf("Decode: %d bytes of %d, %v", n, len(want), err)
			}
			if d := cmp.Diff(c.headers, f.Headers, cmp.AllowUnexported(Value{})); d != "" {
				t.Error(d)
			}
			if string(f.Payload) != c.payload {
				t.Errorf("payload %q", f.Payload)
			}
		})
	}
}

func TestAWSDecoderReadsOurFrames(t *testing.T) {
	t.Parallel()
	b, err := AppendFrame(nil, everyType(), []byte(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := sdk.NewDecoder().Decode(bytes.NewReader(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Payload) != `{"a":1}` {
		t.Errorf("payload %q", m.Payload)
	}
	for _, h := range toSDK(t, everyType()) {
		if got := m.Headers.Get(h.Name); got == nil || got.String() != h.Value.String() {
			t.Errorf("header %s: %v, want %v", h.Name, got, h.Value)
		}
	}
}

func TestEveryBitFlipIsRefused(t *testing.T) {
	t.Parallel()
	good, err := AppendFrame(nil, everyType(), []byte(`{"delta":{"text":"hello"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(good) * 8 {
		bad := bytes.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		if _, _, err := Decode(bad); err == nil {
			t.Fatalf("bit %d of byte %d: frame accepted", i%8, i/8)
		}
		if _, err := NewReader(bytes.NewReader(bad)).Next(); err == nil {
			t.Fatalf("bit %d of byte %d: frame accepted by the reader", i%8, i/8)
		}
	}
}

func TestEveryTruncationIsShort(t *testing.T) {
	t.Parallel()
	good, err := AppendFrame(nil, everyType(), []byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, _, err := Decode(good[:n]); !errors.Is(err, ErrShort) {
			t.Fatalf("%d bytes: Decode gives %v", n, err)
		}
		want := ErrShort
		if n == 0 {
			want = io.EOF
		}
		if _, err := NewReader(bytes.NewReader(good[:n])).Next(); !errors.Is(err, want) {
			t.Fatalf("%d bytes: Next gives %v", n, err)
		}
	}
}

// raw builds a frame with right checksums around anything.
func raw(total, headers uint32, rest []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, total)
	b = binary.BigEndian.AppendUint32(b, headers)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	b = append(b, rest...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func rawHeaders(h string) []byte {
	return raw(uint32(minFrame+len(h)), uint32(len(h)), []byte(h))
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"total below the minimum":   {raw(15, 0, nil), ErrMalformed},
		"headers longer than total": {raw(20, 8, []byte("abcd")), ErrMalformed},
		"headers over the limit":    {raw(MaxHeaders+17, MaxHeaders+1, nil), ErrTooLarge},
		"payload over the limit":    {raw(minFrame+MaxPayload+1, 0, nil), ErrTooLarge},
		"total over the limit":      {raw(1<<32-1, 0, nil), ErrTooLarge},
		"empty header name":         {rawHeaders("\x00\x00"), ErrMalformed},
		"name without a type":       {rawHeaders("\x01a"), ErrMalformed},
		"unknown type":              {rawHeaders("\x01a\x0a"), ErrMalformed},
		"cut integer":               {rawHeaders("\x01a\x05\x00"), ErrMalformed},
		"cut length":                {rawHeaders("\x01a\x07\x00"), ErrMalformed},
		"cut string":                {rawHeaders("\x01a\x07\x00\x02x"), ErrMalformed},
		"cut uuid":                  {rawHeaders("\x01a\x09abc"), ErrMalformed},
		"same header twice":         {rawHeaders("\x01a\x00\x01a\x01"), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := Decode(c.frame); !errors.Is(err, c.want) {
				t.Errorf("Decode gives %v, want %v", err, c.want)
			}
			if _, err := NewReader(bytes.NewReader(c.frame)).Next(); !errors.Is(err, c.want) {
				t.Errorf("Next gives %v, want %v", err, c.want)
			}
		})
	}
}

func TestAppendFrameRefuses(t *testing.T) {
	t.Parallel()
	var many []Header
	for i := range 3 {
		many = append(many, Header{string(rune('a' + i)), BytesValue(make([]byte, 60000))})
	}
	for name, c := range map[string]struct {
		headers []Header
		payload []byte
		want    error
	}{
		"no name":        {[]Header{{"", BoolValue(true)}}, nil, ErrMalformed},
		"long name":      {[]Header{{strings.Repeat("n", 256), BoolValue(true)}}, nil, ErrMalformed},
		"long value":     {[]Header{{"a", StringValue(strings.Repeat("v", 65536))}}, nil, ErrTooLarge},
		"same name":      {[]Header{{"a", BoolValue(true)}, {"a", BoolValue(true)}}, nil, ErrMalformed},
		"many headers":   {many, nil, ErrTooLarge},
		"large payload":  {nil, make([]byte, MaxPayload+1), ErrTooLarge},
		"name and value": {[]Header{{"ok", BoolValue(true)}, {"", BoolValue(true)}}, []byte("x"), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := AppendFrame([]byte("kept"), c.headers, c.payload)
			if !errors.Is(err, c.want) || string(got) != "kept" {
				t.Errorf("%q, %v; want the old bytes and %v", got, err, c.want)
			}
		})
	}
}

func TestLimitsAreInclusive(t *testing.T) {
	t.Parallel()
	b, err := AppendFrame(nil, nil, make([]byte, MaxPayload))
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewReader(iotest.HalfReader(bytes.NewReader(b))).Next()
	if err != nil || len(f.Payload) != MaxPayload {
		t.Fatalf("%d bytes of payload, %v", len(f.Payload), err)
	}
}

func TestReaderReadsManyFrames(t *testing.T) {
	t.Parallel()
	var stream []byte
	payloads := []string{"one", strings.Repeat("two", 50000), "", "four"}
	for _, p := range payloads {
		var err error
		if stream, err = AppendFrame(stream, []Header{{"n", StringValue(p[:min(3, len(p))])}}, []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	r := NewReader(iotest.OneByteReader(bytes.NewReader(stream)))
	for _, p := range payloads {
		f, err := r.Next()
		if err != nil || string(f.Payload) != p || f.Text("n") != p[:min(3, len(p))] {
			t.Fatalf("payload of %d bytes, header %q, %v", len(f.Payload), f.Text("n"), err)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: %v", err)
	}
}

func TestReaderPassesReadErrorsOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection lost")
	b, err := AppendFrame(nil, nil, []byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 5, 14} {
		r := NewReader(io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(broken)))
		if _, err := r.Next(); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func TestHeaderAccessors(t *testing.T) {
	t.Parallel()
	f := Frame{Headers: everyType()}
	if v, ok := f.Header("i32"); !ok || v.Int() != -320000 || v.String() != "" || !v.Time().IsZero() || v.Bool() {
		t.Errorf("i32: %+v %v", v, ok)
	}
	if v, ok := f.Header("absent"); ok || v.Type() != TypeTrue {
		t.Errorf("absent: %+v %v", v, ok)
	}
	if f.Text("i32") != "" || f.Text("string") != "grüße" {
		t.Error("Text must return string headers only")
	}
	if v, _ := f.Header("string"); v.Int() != 0 {
		t.Error("a string is not an integer")
	}
}

func FuzzDecode(f *testing.F) {
	for _, hs := range [][]Header{nil, everyType()} {
		b, err := AppendFrame(nil, hs, []byte("payload"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(rawHeaders("\x01a\x00\x01a\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		// Right checksums let the fuzzer reach what lies behind them.
		if len(b) >= minFrame {
			b = bytes.Clone(b)
			binary.BigEndian.PutUint32(b[8:], crc32.ChecksumIEEE(b[:8]))
			binary.BigEndian.PutUint32(b[len(b)-4:], crc32.ChecksumIEEE(b[:len(b)-4]))
		}
		fr, n, err := Decode(b)
		if err != nil {
			return
		}
		again, err := AppendFrame(nil, fr.Headers, fr.Payload)
		if err != nil || !bytes.Equal(again, b[:n]) {
			t.Fatalf("%x decodes to %+v, which encodes to %x, %v", b[:n], fr, again, err)
		}
		if _, err := sdk.NewDecoder().Decode(bytes.NewReader(b[:n]), nil); err != nil {
			t.Fatalf("AWS decoder refuses %x: %v", b[:n], err)
		}
	})
}

func FuzzEncode(f *testing.F) {
	f.Add("a", byte(7), int64(1), []byte("v"), []byte("payload"))
	f.Add("b", byte(9), int64(-1), []byte("0123456789abcdef"), []byte(nil))
	f.Fuzz(func(t *testing.T, name string, typ byte, num int64, data, payload []byte) {
		var v Value
		switch Type(typ % 10) {
		case TypeTrue, TypeFalse:
			v = BoolValue(num > 0)
		case TypeInt8:
			v = Int8Value(int8(num))
		case TypeInt16:
			v = Int16Value(int16(num))
		case TypeInt32:
			v = Int32Value(int32(num))
		case TypeInt64:
			v = Int64Value(num)
		case TypeBytes:
			v = BytesValue(data)
		case TypeString:
			v = StringValue(string(data))
		case TypeTimestamp:
			v = TimestampValue(time.UnixMilli(num % (1 << 50)))
		case TypeUUID:
			var id [16]byte
			copy(id[:], data)
			v = UUIDValue(id)
		}
		hs := []Header{{name, v}}
		b, err := AppendFrame(nil, hs, payload)
		if err != nil {
			if hs[0].check() == nil && len(payload) <= MaxPayload {
				t.Fatal(err)
			}
			return
		}
		got, n, err := Decode(b)
		if err != nil || n != len(b) || !bytes.Equal(got.Payload, payload) || got.Headers[0].Name != name || !bytes.Equal(got.Headers[0].Value.data, v.data) || got.Headers[0].Value.num != v.num {
			t.Fatalf("%x decodes to %+v, %v", b, got, err)
		}
		if want := sdkFrame(t, hs, payload); !bytes.Equal(b, want) {
			t.Fatalf("%x, AWS encodes %x", b, want)
		}
	})
}
