package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/secret"
)

// Nothing that prints, logs or encodes a value may show it.
func TestValueIsNotShown(t *testing.T) {
	t.Parallel()
	const text = "open sesame"
	v := secret.NewString(text)
	holder := struct {
		Key    secret.Value
		hidden secret.Value // fmt calls no method of it
	}{v, v}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", v, &v, holder)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("got", "key", v, "pointer", &v, "holder", holder)
	}
	b, err := json.Marshal(map[string]any{"key": v, "holder": holder})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	said := out.String()
	for _, leak := range []string{text, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text), strings.Trim(fmt.Sprintf("%d", []byte(text)), "[]")} {
		if strings.Contains(said, leak) {
			t.Errorf("%q is shown in:\n%s", leak, said)
		}
	}
	if string(v.Reveal()) != text || string(secret.New([]byte(text)).Reveal()) != text {
		t.Errorf("Reveal gives %q", v.Reveal())
	}
}

func TestIsZero(t *testing.T) {
	t.Parallel()
	if !(secret.Value{}).IsZero() || !secret.NewString("").IsZero() || secret.NewString("x").IsZero() {
		t.Error("IsZero does not tell an empty secret")
	}
}
