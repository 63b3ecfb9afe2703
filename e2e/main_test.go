package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	full     = flag.Bool("full", false, "run the kill tests as often, and judge as many decisions, as acceptance asks for")
	caseName = flag.String("case", "", "regular expression: the client scripts run only the cases that match")
	update   = flag.Bool("update-clients", false, "rewrite the tables of docs/clients.md from this run")
)

// suite is what the tests share. TestMain makes it; nothing changes it later.
type suite struct {
	dir            string // scratch, removed at the end
	outcrop        string // the binary under test
	scripted       string // a server over a scripted engine
	decisions      string // prints decisions about policies
	python         string // interpreter with boto3 and awscli
	frameworks     string // interpreter with the frameworks and Anthropic's SDK
	oldPython      string // interpreter with boto3 of two years ago
	nodeModules    string // folder with the JavaScript SDK and the AI SDK
	oldNodeModules string // folder with the JavaScript SDK of two years ago
	judgeModules   string // folder with the outside judge of policies
	jars           string // folder with the Java SDK
	models         string // downloads, shared with the unit tests
	engines        string
	server         *server // the server of most tests
}

var s suite

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// run sets up, runs the tests and checks that nothing is left behind.
func run(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if s.dir, err = os.MkdirTemp("", "outcrop-e2e-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	cache, err := os.UserCacheDir()
	if err != nil {
		return 1, err
	}
	s.models = filepath.Join(cache, "outcrop", "models")
	s.engines = filepath.Join(cache, "outcrop", "engines")
	if err := build(ctx); err != nil {
		return 1, err
	}
	if err := setup(ctx); err != nil {
		return 1, err
	}
	if s.server, err = start(ctx, options{firstRun: true}); err != nil {
		return 1, err
	}
	code = m.Run()
	if err := s.server.stop(); err != nil {
		return 1, err
	}
	return code, nil
}

// build makes the programs under test.
func build(ctx context.Context) error {
	bin := filepath.Join(s.dir, "bin")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", bin+string(filepath.Separator), "./cmd/outcrop",
		"./internal/apptest/scriptedserver", "./internal/access/policy/policytest/decisions")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build outcrop: %w\n%s", err, out)
	}
	s.outcrop = filepath.Join(bin, "outcrop")
	s.scripted = filepath.Join(bin, "scriptedserver")
	s.decisions = filepath.Join(bin, "decisions")
	return nil
}

// setup installs the clients.
func setup(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "./setup")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("e2e/setup: %w", err)
	}
	for name, into := range map[string]*string{
		"python": &s.python, "frameworks": &s.frameworks, "old-python": &s.oldPython,
		"node": &s.nodeModules, "old-node": &s.oldNodeModules, "java": &s.jars, "judge": &s.judgeModules,
	} {
		for line := range strings.Lines(string(out)) {
			if key, value, _ := strings.Cut(strings.TrimSpace(line), "="); key == name {
				*into = value
			}
		}
		if *into == "" {
			return fmt.Errorf("e2e/setup printed no %s: %q", name, out)
		}
	}
	return nil
}
