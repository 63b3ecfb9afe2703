package reply

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
)

// FuzzStream: whatever a server sends, and in whatever pieces, the same events are
// read, none longer than a line may be, and the stream ends.
func FuzzStream(f *testing.F) {
	for _, s := range []string{
		"data: {}\n\ndata: [DONE]\n\n", "data:{}\r\n\r\n: ping\n\nerror: {\"code\":1}\n", "event: x\ndata: 1\n\nid: 2\ndata", "\n\n\n", "data: " + strings.Repeat("x", 5000) + "\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		whole, pieces := NewStream(bytes.NewReader(sent)), NewStream(iotest.OneByteReader(bytes.NewReader(sent)))
		for range len(sent) + 1 {
			a, errA := whole.Next()
			b, errB := pieces.Next()
			if !bytes.Equal(a, b) || (errA == nil) != (errB == nil) {
				t.Fatalf("%q %v, in pieces %q %v", a, errA, b, errB)
			}
			if errA != nil {
				return
			}
			if bytes.ContainsRune(a, '\n') || !bytes.Contains(sent, a) {
				t.Fatalf("an event of its own: %q", a)
			}
		}
		t.Fatal("more events than bytes")
	})
}
