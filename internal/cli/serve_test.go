package cli

import (
	"bytes"
	"strings"
	"testing"
)

// With a certificate of our own, a start tells how clients come to trust it.
func TestAnnounceTrust(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	announce(IO{Out: &out, Getenv: func(string) string { return "" }}, Version{}, Ready{
		Endpoint: "https://127.0.0.1:8686", CAFile: "/data dir/tls/ca.pem", Extra: []string{"private https://10.0.0.5:8443"},
	})
	for _, want := range []string{
		"Also listening: private https://10.0.0.5:8443\n", "export AWS_CA_BUNDLE='/data dir/tls/ca.pem'", "export NODE_EXTRA_CA_CERTS='/data dir/tls/ca.pem'",
		"curl --cacert '/data dir/tls/ca.pem' https://127.0.0.1:8686/healthz",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, out.String())
		}
	}
}
