package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func newAccounts(std IO, p Program, o *Options) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "accounts",
		Short:   "Make and list the accounts of this installation",
		Example: "  outcrop accounts create dev\n  outcrop accounts list",
	})
	cmd.AddCommand(newAccountsCreate(std, p, o), newAccountsList(std, p, o))
	return cmd
}

// accountView is an account as it is shown; the key only on creation.
type accountView struct {
	ID          string                 `json:"id"`
	Name        string                 `json:"name"`
	Email       string                 `json:"email"`
	Status      identity.AccountStatus `json:"status"`
	Path        string                 `json:"path,omitempty"` // in the organisation
	Management  bool                   `json:"management,omitempty"`
	AccessKeyID string                 `json:"access_key_id,omitempty"`
	Secret      string                 `json:"secret,omitempty"`
}

func viewAccount(d *identity.Directory, a *identity.Account) accountView {
	return accountView{
		ID: a.ID, Name: a.Name, Email: a.Email, Status: a.Status, Path: d.OrgPath(a.ID), Management: a.ID == d.Management(),
	}
}

func newAccountsCreate(std IO, p Program, o *Options) *cobra.Command {
	var email string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make an account with a root access key, whose secret is shown once",
		Long: `Make an account right below the root of the organisation, which is made with the
first one. The account gets a root access key and the role OrganizationAccountAccessRole,
which the management account may assume.`,
		Example: "  outcrop accounts create dev\n  outcrop accounts create prod --email prod@example.com --json",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd.Context(), p, o, func(l *Local) error {
				v, err := createAccount(cmd.Context(), l, args[0], email)
				if err != nil {
					return plain(err)
				}
				if asJSON {
					return writeJSON(std.Out, v)
				}
				_, err = fmt.Fprintf(std.Out, "Account            %s (%s)\nAccess key ID      %s\nSecret access key  %s\n\nThe secret is shown this once. A running server knows the account within a second.\n",
					v.ID, v.Name, v.AccessKeyID, v.Secret)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&email, "email", "", "address of the account, unique (default: NAME@outcrop.invalid)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// createAccount makes an account, and the organisation when there is none.
func createAccount(ctx context.Context, l *Local, name, email string) (accountView, error) {
	d := l.Directory
	for _, a := range d.Accounts() {
		if strings.EqualFold(a.Name, name) {
			return accountView{}, fmt.Errorf("account %s exists already: %s", a.Name, a.ID)
		}
	}
	if d.Organization() == nil {
		if _, err := d.CreateOrganization(ctx); err != nil {
			return accountView{}, err
		}
	}
	if email == "" {
		email = name + "@outcrop.invalid"
	}
	r, err := d.CreateOrgAccount(ctx, identity.NewAccount{Name: name, Email: email})
	if err != nil {
		return accountView{}, err
	}
	if r.Failure != "" {
		return accountView{}, fmt.Errorf("another account has the email %s; name one with --email", email)
	}
	k, err := l.Keys.Create(ctx, keys.CreateInput{Account: r.Account})
	if err != nil {
		return accountView{}, err
	}
	v := viewAccount(d, d.Account(r.Account))
	v.AccessKeyID, v.Secret = k.ID, string(k.Secret.Reveal())
	return v, nil
}

func newAccountsList(std IO, p Program, o *Options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the accounts", Example: "  outcrop accounts list --json", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd.Context(), p, o, func(l *Local) error {
				var views []accountView
				for _, a := range l.Directory.Accounts() {
					views = append(views, viewAccount(l.Directory, a))
				}
				if asJSON {
					return writeJSON(std.Out, views)
				}
				return table(std.Out, "ACCOUNT\tNAME\tEMAIL\tSTATUS\tPATH", func(w io.Writer) {
					for _, v := range views {
						path := v.Path
						if v.Management {
							path = strings.TrimSpace(path + " (management)")
						}
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.ID, printable(v.Name), printable(v.Email), v.Status, path)
					}
				})
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// plain takes the code off an error that was made for clients of the API.
func plain(err error) error {
	if e, ok := errors.AsType[*apierr.Error](err); ok {
		return errors.New(e.Message)
	}
	return err
}
