package body

import "iter"

// Members ranges over the keys and values of an object in the caller's order, and
// marks each as read as it comes; over nothing for any other value. It takes time
// in proportion to the object, where Get for each key would take its square.
func (v *Value) Members() iter.Seq2[string, *Value] {
	return func(yield func(string, *Value) bool) {
		if v.Kind() != Object {
			return
		}
		for i := range v.n.kids {
			v.mark(i)
			kid := &v.n.kids[i]
			if !yield(kid.key, &Value{n: &kid.val, r: v.r, up: v, name: kid.key}) {
				return
			}
		}
	}
}
