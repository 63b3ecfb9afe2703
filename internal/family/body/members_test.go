package body

import "testing"

func TestMembers(t *testing.T) {
	t.Parallel()
	v := parse(t, `{"b":{"z":1,"":2},"a":"x"}`)
	got := ""
	for key, value := range v.Members() {
		got += key + "=" + string(value.JSON()) + " " + value.Pointer() + ";"
	}
	if want := `b={"z":1,"":2} #/b;a="x" #/a;`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	v.Close()
	if err := v.Err(); err != nil {
		t.Error(err)
	}
	w := parse(t, `{"b":1,"a":2}`)
	for range w.Members() {
		break
	}
	w.Close()
	if err := w.Err(); err == nil || err.Error() != pre+"#: extraneous key [a] is not permitted"+post {
		t.Error(err)
	}
	for range v.Get("a").Members() {
		t.Error("a text has members")
	}
	for range v.Get("none").Members() {
		t.Error("an absent value has members")
	}
}
