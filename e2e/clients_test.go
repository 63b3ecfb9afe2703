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

// outcome is one line that a client script prints about one of its cases.
type outcome struct {
	Name    string  `json:"name"`
	Error   string  `json:"error"` // "" for a case that passed
	Detail  string  `json:"detail"`
	Seconds float64 `json:"seconds"`
	Lacks   string  `json:"lacks"` // why the client has no such case; "" when it has
}

// runCases runs a client script against a server. Each of its cases becomes a
// subtest.
func runCases(t *testing.T, srv *server, script string, env ...string) {
	t.Helper()
	cmd := clientCommand(t, srv, script)
	cmd.Env = append(cmd.Env, env...)
	runClient(t, cmd)
}

// runClient runs a command that prints lines like a client script. Each of its
// cases becomes a subtest. Returned are the version that it tells of its client
// and its outcomes, those of cases that it lacks included.
func runClient(t *testing.T, cmd *exec.Cmd) (version string, all []outcome) {
	t.Helper()
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
			outcome
			Done  *int                     `json:"done"`
			About struct{ Version string } `json:"about"`
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Errorf("%s printed %q", cmd, lines.Text())
			continue
		}
		switch {
		case c.Done != nil:
			done = *c.Done
		case c.About.Version != "":
			version = c.About.Version
		case c.Lacks != "":
			all = append(all, c.outcome)
		default:
			seen++
			all = append(all, c.outcome)
			t.Run(c.Name, func(t *testing.T) {
				t.Logf("%.1f s %s", c.Seconds, c.Detail)
				if c.Error != "" {
					t.Error(c.Error)
				}
			})
		}
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", cmd, err, stderr.String())
	}
	if done != seen || seen == 0 && *caseName == "" {
		t.Errorf("%s ran %d cases and says that it ran %d\n%s", cmd, seen, done, stderr.String())
	}
	return version, all
}

// clientCommand is a script of clients/ in the environment that `outcrop env`
// makes, in a home directory of its own.
func clientCommand(t *testing.T, srv *server, script string, args ...string) *exec.Cmd {
	t.Helper()
	program := []string{s.python}
	if filepath.Ext(script) == ".cjs" {
		program = []string{"node"}
	}
	return programCommand(t, srv, append(program, clientPath(t, script)), args...)
}

// clientPath is where a file of clients/ lies.
func clientPath(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("clients", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// programCommand is a program in the environment of a client, in a home directory
// of its own. Without arguments it gets the expression of -case.
func programCommand(t *testing.T, srv *server, program []string, args ...string) *exec.Cmd {
	t.Helper()
	if len(args) == 0 {
		args = []string{*caseName}
	}
	cmd := exec.CommandContext(t.Context(), program[0], append(program[1:len(program):len(program)], args...)...)
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
