package cli

import (
	"fmt"
	"io"
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

With --tls self it makes a certificate authority and a certificate in the data
directory and tells how clients trust it. SIGHUP reads certificates and endpoint
policies again; certificates are also taken up when their files change.

Ctrl-C or SIGTERM lets running calls finish, for 25 seconds at most.`,
		Example: "  outcrop serve\n  outcrop serve --listen 127.0.0.1:9000 --data ./state\n  outcrop serve --config outcrop.yaml\n  outcrop serve --listen 0.0.0.0:8686 --tls self\n  outcrop serve --offline",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.TLS != "" && o.TLS != "self" {
				return &usageError{fmt.Errorf("--tls %q: the one choice is self; certificates of your own are set in the configuration", o.TLS)}
			}
			prog := progressOn(std.Err)
			return p.Serve(cmd.Context(), *o, prog, func(r Ready) { announce(std, p.Version(), r) })
		},
	}
	cmd.Flags().StringVar(&o.Listen, "listen", "", "HOST:PORT to listen on (default 127.0.0.1:8686)")
	cmd.Flags().StringVar(&o.TLS, "tls", "", "self: encrypt, with a certificate authority made in the data directory")
	cmd.Flags().BoolVar(&o.Offline, "offline", false, "let no connection leave this machine (egress: off)")
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
	for _, other := range r.Extra {
		fmt.Fprintf(&b, "Also listening: %s\n", other)
	}
	if r.CAFile != "" {
		b.WriteString(trust(r))
	}
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

// trust tells how clients come to trust the local authority.
func trust(r Ready) string {
	ca := quote(r.CAFile)
	var b strings.Builder
	fmt.Fprintf(&b, "\nTLS: clients must trust %s. Copy it to other machines; its key stays here.\n\n", r.CAFile)
	fmt.Fprintf(&b, "  export AWS_CA_BUNDLE=%s          # AWS CLI, boto3, SDK for Go\n", ca)
	fmt.Fprintf(&b, "  export NODE_EXTRA_CA_CERTS=%s    # SDK for JavaScript\n", ca)
	fmt.Fprintf(&b, "  export SSL_CERT_FILE=%s          # OpenSSL, as under OpenAI's and Anthropic's SDKs for Python\n", ca)
	fmt.Fprintf(&b, "  curl --cacert %s %s/healthz\n", ca, r.Endpoint)
	return b.String()
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
