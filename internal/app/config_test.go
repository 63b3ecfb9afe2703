package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/cli"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, part string }{
		"unknown field":     {"listen: 127.0.0.1:1\ncolour: blue\n", "line 2"},
		"unknown in part":   {"engine:\n  slots: 2\n  gears: 3\n", "line 3"},
		"wrong type":        {"\nengine:\n  slots: many\n", "line 3"},
		"no YAML":           {"listen: [\n", "line 1"},
		"wrong duration":    {"engine:\n  queue_deadline: soon\n", "line 2"},
		"listen":            {"listen: everywhere\n", "HOST:PORT"},
		"not loopback":      {"listen: 0.0.0.0:8686\n", "needs TLS"},
		"every interface":   {"listen: \":8686\"\n", "needs TLS"},
		"another interface": {"listen: 192.0.2.1:8686\n", "needs TLS"},
		"cert without key":  {"tls: {cert: a.pem}\n", "cert and key"},
		"two certificates":  {"tls: {cert: a.pem, key: b.pem, self_signed: true}\n", "not both"},
		"account":           {"account: \"12\"\n", "account"},
		"region":            {"regions: [us-east-1, moon-1]\n", `regions: "moon-1"`},
		"region twice":      {"regions: [us-east-1, us-east-1]\n", "regions: us-east-1 stands twice"},
		"slots":             {"engine: {slots: 1000}\n", "slots"},
		"negative slots":    {"engine: {slots: -1}\n", "slots"},
		"context":           {"engine: {max_context: 3}\n", "max_context"},
		"queue":             {"engine: {queue: -1}\n", "engine: queue"},
		"provisioned units": {"provisioned_units: -1\n", "provisioned_units"},
		"short sleep":       {"engine: {idle_sleep: 10ms}\n", "idle_sleep"},
		"negative unload":   {"engine: {idle_unload: -1s}\n", "idle_unload"},
		"replicas":          {"engine: {replicas: -1}\n", "replicas"},
		"kv_tokens":         {"engine: {kv_tokens: -1}\n", "kv_tokens"},
		"threads":           {"engine: {threads: -3}\n", "threads"},
		"drain":             {"limits: {drain: -1s}\n", "drain"},
		"days":              {"usage: {keep: 1.5d}\n", "1.5d"},
		"too many days":     {"usage: {keep: 100000d}\n", "100000d"},
		"negative keep":     {"usage: {keep: -1h}\n", "keep"},
		"bodies":            {"limits: {bodies: 1000}\n", "bodies"},
	} {
		path := writeFile(t, "outcrop.yaml", c.text)
		_, err := config(cli.Options{Config: path, Data: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), c.part) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", name, err, c.part)
		}
		if strings.HasPrefix(c.part, "line") && !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v does not name the file", name, err)
		}
	}
	if _, err := config(cli.Options{Config: "/no/such/file"}); err == nil || !strings.Contains(err.Error(), "/no/such/file") {
		t.Errorf("no file: %v", err)
	}
}

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for name, path := range map[string]string{"no file": "", "empty file": writeFile(t, "a.yaml", ""), "comments": writeFile(t, "b.yaml", "# nothing\n")} {
		c, err := config(cli.Options{Config: path, Data: data})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if c.Listen != "127.0.0.1:8686" || c.DataDir != data || c.ModelsDir != filepath.Join(data, "models") || c.EnginesDir != filepath.Join(data, "engines") ||
			!*c.StandIns || c.Engine.Slots != 4 || c.Engine.MaxContext != 8192 || c.Engine.QueueDeadline != 30*time.Second ||
			*c.Engine.IdleSleep != 10*time.Minute || *c.Engine.IdleUnload != time.Hour || c.Engine.Replicas != 0 ||
			c.Limits != (Limits{25 * time.Second, 30 * time.Second, 512 << 20}) || c.Account != "000000000000" || *c.Usage.Keep != 9600*time.Hour {
			t.Errorf("%s: %+v", name, c)
		}
	}
	for text, want := range map[string]time.Duration{"0": 0, "0s": 0, "30d": 720 * time.Hour, "36h": 36 * time.Hour} {
		c, err := config(cli.Options{Config: writeFile(t, "keep.yaml", "usage: {keep: "+text+"}\n"), Data: data})
		if err != nil || c.Usage.Keep == nil || *c.Usage.Keep != want {
			t.Errorf("keep: %s: %+v, %v", text, c.Usage, err)
		}
	}
	path := writeFile(t, "c.yaml", "listen: 127.0.0.1:1\nstand_ins: false\nengine: {queue_deadline: 5s, slots: 2}\nlimits: {drain: 1m}\n")
	c, err := config(cli.Options{Config: path, Data: data, Listen: "[::1]:9"})
	if err != nil || c.Listen != "[::1]:9" || *c.StandIns || c.Engine.QueueDeadline != 5*time.Second || c.Engine.Slots != 2 || c.Limits.Drain != time.Minute {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestEndpoint(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"127.0.0.1:80": "http://127.0.0.1:80", "0.0.0.0:80": "http://127.0.0.1:80", "[::]:80": "http://127.0.0.1:80",
		":80": "http://127.0.0.1:80", "[::1]:80": "http://[::1]:80", "host.example:80": "http://host.example:80",
	} {
		if got := (Listener{}).endpoint(listen); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
	c := Config{DataDir: t.TempDir(), Listen: "127.0.0.1:8686"}
	if got := readEndpoint(c); got != "http://127.0.0.1:8686" {
		t.Errorf("without a file: %s", got)
	}
	if err := writeEndpoint(c.DataDir, "https://127.0.0.1:9"); err != nil || readEndpoint(c) != "https://127.0.0.1:9" {
		t.Errorf("%s, %v", readEndpoint(c), err)
	}
	if err := os.WriteFile(filepath.Join(c.DataDir, endpointFile), []byte("\n"), 0o600); err != nil || readEndpoint(c) != "http://127.0.0.1:8686" {
		t.Errorf("damaged file: %s, %v", readEndpoint(c), err)
	}
}

// A lost root key must not be replaced in silence.
func TestLostRootKey(t *testing.T) {
	t.Parallel()
	o := cli.Options{Data: t.TempDir()}
	l, err := Program{}.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(o.Data, "root.key")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if _, err := (Program{}).Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "restore it from a backup") {
		t.Errorf("open: %v", err)
	}
	checks := Program{}.Doctor(t.Context(), o)
	if last := checks[len(checks)-1]; last.OK || !strings.Contains(last.Detail, "root.key is missing") {
		t.Errorf("doctor: %+v", last)
	}
	if exists(key) {
		t.Error("a new root key was made")
	}
}
