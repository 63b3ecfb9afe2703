package quota

import (
	"testing"
	"unsafe"

	"github.com/outcrop/outcrop/internal/record/recordtest"
)

// A call holds less than 1 KB for as long as its reply takes, unless quotas of days or
// of several subjects are set; a hold takes those in too, and is empty when it is used
// again.
func TestHold(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Config{Records: &recordtest.Store{}})
	if err != nil {
		t.Fatal(err)
	}
	h := s.hold()
	if n := unsafe.Sizeof(*h) + uintptr(cap(h.charges))*unsafe.Sizeof(h.charges[0]); n >= 1<<10 {
		t.Errorf("a hold has %d bytes", n)
	}
	var l [kinds]limit
	for i := range l {
		l[i] = limit{Value: 1, Burst: 1, set: true}
	}
	subjects := []string{"", "principal", "profile"}
	for _, subject := range subjects {
		h.add(Key{Subject: subject}, &l, cost{open: true, tokens: true})
	}
	if len(h.charges) != len(subjects)*kinds {
		t.Errorf("%d charges", len(h.charges))
	}
	s.free(h)
	if again := s.hold(); len(again.charges) != 0 {
		t.Errorf("a hold that is used again has %d charges", len(again.charges))
	}
}
