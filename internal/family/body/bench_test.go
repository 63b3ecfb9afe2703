package body_test

import (
	"fmt"
	"testing"

	"github.com/outcrop/outcrop/internal/family/body"
)

// BenchmarkHostileBody is the worst that a body can do with keys: as many as may
// be, in one object, none of them known.
func BenchmarkHostileBody(b *testing.B) {
	data := []byte{'{'}
	for i := range body.MaxValues - 1 {
		data = fmt.Appendf(data, `"%076d":0,`, i) // some 20 MB
	}
	data[len(data)-1] = '}'
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		v, err := body.Parse(data)
		if err != nil {
			b.Fatal(err)
		}
		v.Close()
		if v.Err() == nil {
			b.Fatal("unknown keys were taken")
		}
	}
}
