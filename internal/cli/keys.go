package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/keys"
)

func newKeys(std IO, p Program, o *Options) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "keys",
		Short:   "Make, list, disable and delete the keys of callers",
		Example: "  outcrop keys create\n  outcrop keys create --bearer --account 222233334444\n  outcrop keys disable AKIAEXAMPLE",
	})
	cmd.AddCommand(newKeysCreate(std, p, o), newKeysList(std, p, o),
		newKeysChange(std, p, o, "disable", "Refuse a key from now on; enable takes it back", "disabled",
			func(cmd *cobra.Command, l *Local, id string) error { return l.Keys.Disable(cmd.Context(), id) }),
		newKeysChange(std, p, o, "enable", "Accept a disabled key again", "enabled",
			func(cmd *cobra.Command, l *Local, id string) error { return l.Keys.Enable(cmd.Context(), id) }),
		newKeysChange(std, p, o, "delete", "Delete a key for good", "deleted",
			func(cmd *cobra.Command, l *Local, id string) error { return l.Keys.Delete(cmd.Context(), id) }),
		newKeysProtect(std, p, o),
	)
	return cmd
}

func newKeysProtect(std IO, p Program, o *Options) *cobra.Command {
	return &cobra.Command{
		Use: "protect", Short: "Encrypt the root key, as root_key in the configuration says",
		Long: `All secrets of an installation are sealed under one root key, a file of mode 0600
in the data directory. With root_key.passphrase_file, or root_key.wrap and
root_key.unwrap in the configuration, this command encrypts that file; servers
and commands then open it as the configuration says. Stop the server first.`,
		Example: "  outcrop keys protect --config outcrop.yaml", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.ProtectKey(cmd.Context(), *o); err != nil {
				return err
			}
			_, err := fmt.Fprintln(std.Out, "The root key is protected. Copies of the old file open everything still: destroy them.")
			return err
		},
	}
}

// keyView is a key as it is shown; the secret only on creation.
type keyView struct {
	ID      string      `json:"id"`
	Account string      `json:"account"`
	User    string      `json:"user,omitempty"` // "" is the root of the account
	Kind    keys.Kind   `json:"kind"`
	Status  keys.Status `json:"status"`
	Created time.Time   `json:"created"`
	Secret  string      `json:"secret,omitempty"`
}

// viewKey shows a key without its secret.
func viewKey(l *Local, k keys.Key) keyView {
	v := keyView{ID: k.ID, Account: k.Account, Kind: k.Kind, Status: k.Status, Created: k.Created}
	if k.Owner != "" {
		v.User = k.Owner // of a user that is gone; such a key opens nothing
		if u := l.Directory.UserByID(k.Account, k.Owner); u != nil {
			v.User = u.Name
		}
	}
	return v
}

// createKey makes a key for the root of an account, or for a user of it.
func createKey(ctx context.Context, l *Local, account, user string, kind keys.Kind) (keys.Created, error) {
	switch {
	case user == "":
		if err := l.Directory.EnsureAccount(ctx, account); err != nil {
			return keys.Created{}, plain(err)
		}
		if kind == keys.Bearer {
			if err := l.Directory.LongTermAllowed(); err != nil {
				return keys.Created{}, plain(err)
			}
		}
		return l.Keys.Create(ctx, keys.CreateInput{Account: account, Kind: kind})
	case kind == keys.Bearer:
		_, k, err := l.Directory.CreateCredential(ctx, account, user, "bedrock.amazonaws.com", 0, keys.DefaultRegion)
		return k, plain(err)
	}
	k, err := l.Directory.CreateAccessKey(ctx, account, user, keys.DefaultRegion)
	return k, plain(err)
}

func newKeysCreate(std IO, p Program, o *Options) *cobra.Command {
	var account, user string
	var bearer, asJSON bool
	cmd := &cobra.Command{
		Use:     "create",
		Short:   "Make a key; its secret is shown once",
		Example: "  outcrop keys create\n  outcrop keys create --user ana\n  export AWS_BEARER_TOKEN_BEDROCK=$(outcrop keys create --bearer --json | jq -r .secret)",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd.Context(), p, o, func(l *Local) error {
				kind := keys.SigV4
				if bearer {
					kind = keys.Bearer
				}
				k, err := createKey(cmd.Context(), l, cmp.Or(account, l.Account), user, kind)
				if err != nil {
					return err
				}
				v := viewKey(l, k.Key)
				v.Secret = string(k.Secret.Reveal())
				if asJSON {
					return writeJSON(std.Out, v)
				}
				if bearer {
					_, err = fmt.Fprintf(std.Out, "Key     %s (bearer, account %s)\nToken   %s\n\nThe token is shown this once. Use it as AWS_BEARER_TOKEN_BEDROCK. Most SDKs send it over TLS only: set tls.self_signed: true in the configuration.\n", v.ID, v.Account, v.Secret)
				} else {
					_, err = fmt.Fprintf(std.Out, "Access key ID      %s (account %s)\nSecret access key  %s\n", v.ID, v.Account, v.Secret)
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&account, "account", "", "account that the key acts for, 12 digits (default: the first key's)")
	cmd.Flags().StringVar(&user, "user", "", "user of the account that the key belongs to (default: the account's root)")
	cmd.Flags().BoolVar(&bearer, "bearer", false, "make a bearer key instead of an access key")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newKeysList(std IO, p Program, o *Options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the keys, without their secrets", Example: "  outcrop keys list --json", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd.Context(), p, o, func(l *Local) error {
				list, err := l.Keys.List(cmd.Context())
				if err != nil {
					return err
				}
				views := make([]keyView, 0, len(list))
				for _, k := range list {
					views = append(views, viewKey(l, k))
				}
				if asJSON {
					return writeJSON(std.Out, views)
				}
				return table(std.Out, "KEY\tACCOUNT\tUSER\tKIND\tSTATUS\tCREATED", func(w io.Writer) {
					for _, v := range views {
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", v.ID, v.Account, cmp.Or(v.User, "(root)"), v.Kind, v.Status, v.Created.Local().Format(time.DateTime))
					}
				})
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newKeysChange(std IO, p Program, o *Options, verb, short, done string, change func(*cobra.Command, *Local, string) error) *cobra.Command {
	return &cobra.Command{
		Use: verb + " KEY", Short: short, Example: "  outcrop keys " + verb + " AKIAEXAMPLE", Args: exactly("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd.Context(), p, o, func(l *Local) error {
				if err := change(cmd, l, args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(std.Out, "%s is %s. A running server knows within a second.\n", args[0], done)
				return err
			})
		},
	}
}

// table prints aligned columns.
func table(out io.Writer, head string, rows func(io.Writer)) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, head)
	rows(w)
	return w.Flush()
}
