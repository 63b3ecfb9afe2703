package body

// Keys returns the keys of an object in the caller's order, whether they were
// read or not; nil for any other value.
func (v *Value) Keys() []string {
	if v.Kind() != Object {
		return nil
	}
	out := make([]string, len(v.n.kids))
	for i := range v.n.kids {
		out[i] = v.n.kids[i].key
	}
	return out
}
