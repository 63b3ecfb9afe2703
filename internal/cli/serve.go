package cli

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newServe(std IO, p Program, o *Options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Start the server; the first start installs what it needs",
		Long: `Starts the server on one port for every AWS service that Outcrop speaks.

The first start makes the data directory and an access key, installs the engine
and the default models (about 140 MB), and then prints the lines that point AWS
clients at it. Interrupted downloads go on where they stopped.

Ctrl-C or SIGTERM lets running calls finish, for 25 seconds at most.`,
		Example: "  outcrop serve\n  outcrop serve --listen 127.0.0.1:9000 --data ./state\n  outcrop serve --config outcrop.yaml",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			prog := progressOn(std.Err)
			return p.Serve(cmd.Context(), *o, prog, func(r Ready) { announce(std, p.Version(), r) })
		},
	}
	cmd.Flags().StringVar(&o.Listen, "listen", "", "HOST:PORT to listen on (default 127.0.0.1:8686)")
	return cmd
}

// announce prints what a person needs to start.
func announce(std IO, v Version, r Ready) {
	var b strings.Builder
	if len(r.StandIns) > 0 {
		fmt.Fprintf(&b, "\nStand-ins: %d well-known ids (%s, ...) are served by %s.\n", len(r.StandIns), r.StandIns[0].ID, standingIn(r))
		b.WriteString("Replies say so in the header x-outcrop-served-by; `outcrop models list` shows each; `stand_ins: false` switches them off.\n")
	}
	fmt.Fprintf(&b, "\nOutcrop %s is ready on %s (%s). Data: %s\n", v.Version, r.Endpoint, r.Took.Round(time.Millisecond), r.Data)
	if r.FirstKey != nil {
		b.WriteString("\nPaste this into the shell of your AWS program:\n\n")
		for line := range strings.Lines(envLines(r.Endpoint, r.CAFile, *r.FirstKey, std.getenv)) {
			b.WriteString("  " + line)
		}
		b.WriteString("\nThen, for example:\n\n")
	} else {
		b.WriteString("\nIn the shell of your AWS program: eval \"$(outcrop env)\". Then, for example:\n\n")
	}
	b.WriteString(`  python3 -c 'import boto3; print(boto3.client("bedrock-runtime").converse(modelId="anthropic.claude-3-haiku-20240307-v1:0", messages=[{"role": "user", "content": [{"text": "Say hello."}]}])["output"]["message"]["content"][0]["text"])'` + "\n\n")
	_, _ = io.WriteString(std.Out, b.String()) // nobody may be reading
}

// standingIn names the weights behind the stand-ins.
func standingIn(r Ready) string {
	var names []string
	seen := map[string]bool{}
	for _, m := range r.StandIns {
		if !seen[m.Weights] {
			seen[m.Weights] = true
			names = append(names, m.Weights)
		}
	}
	return strings.Join(names, " and ")
}

// NewLogger writes one line per call and what an operator must know. It never
// carries prompts, completions or secrets.
func NewLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelInfo}))
}
