package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

func newEnv(std IO, p Program, o *Options) *cobra.Command {
	var asJSON bool
	var region string
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print what points this shell's AWS clients at the server",
		Long: `Prints export lines of the endpoint, an access key and a region, and unsets
variables that would win over them. Only the user who owns the data directory
can read the key. The endpoint is that of the server that runs on the data
directory, or else of the last one that did.`,
		Example: "  eval \"$(outcrop env)\"\n  outcrop env --region eu-central-1 --json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if region != "" && !arn.ValidRegion(region) {
				return &usageError{fmt.Errorf("--region %q is not the name of an AWS region, e.g. us-east-1", region)}
			}
			return with(cmd.Context(), p, o, func(l *Local) error {
				c, err := ownKey(cmd.Context(), l)
				if err != nil {
					return err
				}
				c.Region = cmp.Or(region, l.Region)
				if asJSON {
					return writeJSON(std.Out, envMap(l.Endpoint, l.CAFile, c, std.getenv))
				}
				_, err = fmt.Fprint(std.Out, envLines(l.Endpoint, l.CAFile, c, std.getenv))
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&region, "region", "", "AWS region to use (default: the first one that is configured, else us-east-1)")
	return cmd
}

// ownKey finds an active access key of the installation's own account.
func ownKey(ctx context.Context, l *Local) (Credentials, error) {
	list, err := l.Keys.List(ctx)
	if err != nil {
		return Credentials{}, err
	}
	for _, k := range list {
		if k.Account != l.Account || k.Kind != keys.SigV4 || k.Status != keys.Active {
			continue
		}
		sec, err := l.Keys.Reveal(ctx, k.ID)
		if err != nil {
			return Credentials{}, err
		}
		return Credentials{AccessKeyID: k.ID, Secret: string(sec.Reveal())}, nil
	}
	return Credentials{}, errors.New("there is no active access key; make one with: outcrop keys create")
}

// unset are variables that would win over the ones that env sets, or that the
// SDKs refuse beside an endpoint of one's own.
func unset() []string {
	return []string{
		"AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_BEARER_TOKEN_BEDROCK",
		"AWS_ENDPOINT_URL_BEDROCK", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL_BEDROCK_AGENT",
		"AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME", "AWS_ENDPOINT_URL_STS", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
		"AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT",
	}
}

// caVariables name the certificate authorities to trust: for AWS's own tools and
// SDKs, and for Node.js, which does not know AWS's.
func caVariables() []string { return []string{"AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"} }

func envMap(endpoint, ca string, c Credentials, getenv func(string) string) map[string]string {
	m := map[string]string{
		"AWS_ENDPOINT_URL":      endpoint,
		"AWS_ACCESS_KEY_ID":     c.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY": c.Secret,
		"AWS_REGION":            c.Region,
		"AWS_DEFAULT_REGION":    c.Region,
		"NO_PROXY":              noProxy(endpoint, getenv("NO_PROXY"), getenv("no_proxy")),
	}
	m["no_proxy"] = m["NO_PROXY"]
	if ca != "" {
		for _, k := range caVariables() {
			m[k] = ca
		}
	}
	return m
}

func envLines(endpoint, ca string, c Credentials, getenv func(string) string) string {
	m := envMap(endpoint, ca, c, getenv)
	var b strings.Builder
	for _, k := range slices.Concat(
		[]string{"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"},
		caVariables(), []string{"NO_PROXY", "no_proxy"},
	) {
		if v, ok := m[k]; ok {
			fmt.Fprintf(&b, "export %s=%s\n", k, quote(v))
		}
	}
	fmt.Fprintf(&b, "unset %s\n", strings.Join(unset(), " "))
	return b.String()
}

// noProxy joins lists of hosts that need no proxy and adds the endpoint's host.
func noProxy(endpoint string, lists ...string) string {
	var hosts []string
	add := func(h string) {
		if h = strings.TrimSpace(h); h != "" && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	for _, list := range lists {
		for h := range strings.SplitSeq(list, ",") {
			add(h)
		}
	}
	if u, err := url.Parse(endpoint); err == nil {
		add(u.Hostname())
	}
	return strings.Join(hosts, ",")
}

// quote makes s one word of a POSIX shell.
func quote(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-") == "" && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
