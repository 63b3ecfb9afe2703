// Package cli holds the commands of outcrop. It talks to people: plain errors
// that say what to do next, tables that fit a terminal, --json for machines.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/bundle"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/progress"
	"github.com/outcrop/outcrop/internal/quota"
	"github.com/outcrop/outcrop/internal/weights"
)

// Options say which installation a command works on.
type Options struct {
	Data   string // data directory; "" means the user's data folder
	Config string // configuration file; "" means none
	Listen string // HOST:PORT; "" means the configuration's
	// TLS is "self" for a certificate of the data directory's own authority; ""
	// means the configuration's.
	TLS string
	// Offline lets no connection leave this machine.
	Offline bool
}

// Program is what the commands are made of. app.Program implements it.
type Program interface {
	// Serve runs a server until ctx ends. It calls ready once, when the server
	// takes requests and everything is installed.
	Serve(ctx context.Context, o Options, progress weights.Progress, ready func(Ready)) error
	// Open gives access to an installation, whether or not a server runs on it.
	Open(ctx context.Context, o Options) (*Local, error)
	// ProtectKey protects the root key as the configuration says.
	ProtectKey(ctx context.Context, o Options) error
	// Doctor checks an installation.
	Doctor(ctx context.Context, o Options) []Check
	// Version tells what was built.
	Version() Version
}

// Ready is what a server tells when it has started.
type Ready struct {
	Endpoint string   // e.g. "http://127.0.0.1:8686"
	CAFile   string   // certificate authority to trust; "" without TLS of our own
	Extra    []string // further listeners, name and endpoint
	Data     string
	StandIns []catalog.Model
	// FirstKey is the access key that this start made; nil on later starts.
	FirstKey *Credentials
	Took     time.Duration
}

// Credentials are one access key in the clear.
type Credentials struct {
	AccessKeyID string
	Secret      string
	Region      string
}

// Local is an open installation. Close it.
type Local struct {
	// Agreements opens who may use which model.
	Agreements func(ctx context.Context) (*agreement.Service, error)
	// Quotas opens what accounts and principals may use of models.
	Quotas func(ctx context.Context) (*quota.Service, error)

	Catalog  *catalog.Catalog
	Weights  *weights.Store
	Keys     *keys.Service
	Objects  object.Store
	Endpoint string
	CAFile   string
	Account  string // owner of the first key
	Region   string // where nobody names one
	Bundle   bundle.Source
	Unbundle bundle.Target
	Close    func() error

	Directory *identity.Directory
}

// Check is one finding of the doctor.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // what to do; empty when OK
}

// Version describes a build.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Engine  string `json:"engine"` // build of the engine that it installs
	Models  string `json:"api_models"`
}

// errSilent ends a command with status 1 after it has said why itself.
var errSilent = errors.New("failed")

// IO is where a command reads and writes.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string // nil means os.Getenv
}

func (i IO) getenv(name string) string {
	if i.Getenv == nil {
		return os.Getenv(name)
	}
	return i.Getenv(name)
}

// Main runs one command line and returns the exit status: 0 done, 1 failed, 2
// used wrongly.
func Main(args []string, std IO, p Program) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot(std, p)
	root.SetArgs(args)
	root.SetIn(std.In)
	root.SetOut(std.Out)
	root.SetErr(std.Err)
	cmd, err := root.ExecuteContextC(ctx)
	var use *usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errSilent):
		return 1
	case errors.As(err, &use):
		fmt.Fprintf(std.Err, "outcrop: %v\nSee: %s --help\n", err, cmd.CommandPath())
		return 2
	default:
		fmt.Fprintf(std.Err, "outcrop: %v\n", err)
		return 1
	}
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (u *usageError) Unwrap() error { return u.error }

func newRoot(std IO, p Program) *cobra.Command {
	var o Options
	root := &cobra.Command{
		Use:   "outcrop",
		Short: "The Amazon Bedrock API, served from this machine",
		Long: `Outcrop serves the Amazon Bedrock API from this machine: an unchanged AWS SDK,
AWS CLI, LangChain or LiteLLM program points at it and gets real inference from
open-weight models.`,
		Example:       "  outcrop serve                 start the server; installs what it needs on first use\n  eval \"$(outcrop env)\"         point this shell's AWS clients at it",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().StringVar(&o.Data, "data", "", "data directory (default: the user's data folder)")
	root.PersistentFlags().StringVar(&o.Config, "config", "", "configuration file in YAML")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(
		newServe(std, p, &o), newEnv(std, p, &o), newModels(std, p, &o), newKeys(std, p, &o), newAccounts(std, p, &o), newAccess(std, p, &o), newObjects(std, p, &o),
		newBundle(std, p, &o), newDoctor(std, p, &o), newVersion(std, p), newChat(std, p, &o),
		newFaults(std, p, &o), newPs(std, p, &o), newCompare(std, p, &o), newQuotas(std, p, &o),
	)
	return root
}

// noCommand refuses what stands where a command should.
func noCommand(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Errorf("unknown command %q", args[0])}
	}
	return nil
}

// group makes cmd a group of commands that does nothing by itself. cobra would
// print help and call it a success.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = noCommand
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var names []string
		for _, c := range cmd.Commands() {
			if !c.Hidden && c.Name() != "help" {
				names = append(names, c.Name())
			}
		}
		return &usageError{fmt.Errorf("a command is missing: %s", strings.Join(names, ", "))}
	}
	return cmd
}

// exactly checks the number of arguments and names them when they are wrong.
func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return &usageError{fmt.Errorf("%s is missing", names[len(args)])}
		}
		if len(args) > len(names) {
			return &usageError{fmt.Errorf("unexpected argument %q", args[len(names)])}
		}
		return nil
	}
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// with opens the installation, runs f and closes it.
func with(ctx context.Context, p Program, o *Options, f func(*Local) error) error {
	l, err := p.Open(ctx, *o)
	if err != nil {
		return err
	}
	return errors.Join(f(l), l.Close())
}

func newVersion(std IO, p Program) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Tell what this build is", Example: "  outcrop version --json", Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			v := p.Version()
			if asJSON {
				return writeJSON(std.Out, v)
			}
			_, err := fmt.Fprintf(std.Out, "outcrop %s %s/%s %s\nengine   %s\nAPI      %s\n", v.Version, v.OS, v.Arch, v.Go, v.Engine, v.Models)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// progressOn shows bars to a person and plain lines to a log.
func progressOn(w io.Writer) weights.Progress {
	if f, ok := w.(*os.File); ok {
		return progress.For(f)
	}
	return progress.Lines(w, time.Now)
}
