package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/keys"
)

func newEnv(std IO, p Program, o *Options) *cobra.Command {
	var asJSON bool
	region := "us-east-1"
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print what points this shell's AWS clients at the server",
		Long: `Prints export lines of the endpoint, an access key and a region, and unsets
variables that would win over them. Only the user who owns the data directory
can read the key.`,
		Example: "  eval \"$(outcrop env)\"\n  outcrop env --region eu-central-1 --json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd.Context(), p, o, func(l *Local) error {
				c, err := ownKey(cmd.Context(), l)
				if err != nil {
					return err
				}
				c.Region = region
				if asJSON {
					return writeJSON(std.Out, envMap(l.Endpoint, l.CAFile, c))
				}
				_, err = fmt.Fprint(std.Out, envLines(l.Endpoint, l.CAFile, c))
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&region, "region", region, "AWS region to use")
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

// Variables that would win over the ones that env sets.
var unset = []string{"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"}

func envMap(endpoint, ca string, c Credentials) map[string]string {
	m := map[string]string{
		"AWS_ENDPOINT_URL":      endpoint,
		"AWS_ACCESS_KEY_ID":     c.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY": c.Secret,
		"AWS_REGION":            c.Region,
		"AWS_DEFAULT_REGION":    c.Region,
		"NO_PROXY":              noProxy(endpoint, os.Getenv("NO_PROXY")),
	}
	m["no_proxy"] = m["NO_PROXY"]
	if ca != "" {
		m["AWS_CA_BUNDLE"] = ca
	}
	return m
}

func envLines(endpoint, ca string, c Credentials) string {
	m := envMap(endpoint, ca, c)
	var b strings.Builder
	for _, k := range []string{"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE", "NO_PROXY", "no_proxy"} {
		if v, ok := m[k]; ok {
			fmt.Fprintf(&b, "export %s=%s\n", k, quote(v))
		}
	}
	fmt.Fprintf(&b, "unset %s\n", strings.Join(unset, " "))
	return b.String()
}

// noProxy adds the endpoint's host to a list of hosts that need no proxy.
func noProxy(endpoint, list string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return list
	}
	for _, h := range strings.Split(list, ",") {
		if strings.TrimSpace(h) == u.Hostname() {
			return list
		}
	}
	if list == "" {
		return u.Hostname()
	}
	return list + "," + u.Hostname()
}

// quote makes s one word of a POSIX shell.
func quote(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-") == "" && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
