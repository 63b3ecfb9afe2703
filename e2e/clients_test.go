package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBoto3 runs clients/boto3_cases.py.
func TestBoto3(t *testing.T) {
	t.Parallel()
	runCases(t, s.server, "boto3_cases.py")
}

// TestJavaScript runs clients/js_cases.cjs.
func TestJavaScript(t *testing.T) {
	t.Parallel()
	runCases(t, s.server, "js_cases.cjs")
}

// runCases runs a client script against a server. Each of its cases becomes a
// subtest.
func runCases(t *testing.T, srv *server, script string, env ...string) {
	t.Helper()
	cmd := clientCommand(t, srv, script)
	cmd.Env = append(cmd.Env, env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen, done := 0, -1
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c struct {
			Name    string  `json:"name"`
			Error   string  `json:"error"`
			Detail  string  `json:"detail"`
			Seconds float64 `json:"seconds"`
			Done    *int    `json:"done"`
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Errorf("%s printed %q", script, lines.Text())
			continue
		}
		if c.Done != nil {
			done = *c.Done
			continue
		}
		seen++
		t.Run(c.Name, func(t *testing.T) {
			t.Logf("%.1f s %s", c.Seconds, c.Detail)
			if c.Error != "" {
				t.Error(c.Error)
			}
		})
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", script, err, stderr.String())
	}
	if done != seen || seen == 0 && *caseName == "" {
		t.Errorf("%s ran %d cases and says that it ran %d\n%s", script, seen, done, stderr.String())
	}
}

// clientCommand is a script of clients/ in the environment that `outcrop env`
// makes, in a home directory of its own.
func clientCommand(t *testing.T, srv *server, script string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("clients", script))
	if err != nil {
		t.Fatal(err)
	}
	program := s.python
	if filepath.Ext(script) == ".cjs" {
		program = "node"
	}
	if len(args) == 0 {
		args = []string{*caseName}
	}
	cmd := exec.CommandContext(t.Context(), program, append([]string{path}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = clientEnv(srv, cmd.Dir)
	return cmd
}

// clientEnv is the environment of a client.
func clientEnv(srv *server, home string) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + home,
		"NODE_PATH=" + s.nodeModules,
		"PYTHONDONTWRITEBYTECODE=1",
		"AWS_EC2_METADATA_DISABLED=true",
	}
	for k, v := range srv.env {
		env = append(env, k+"="+v)
	}
	return env
}
