package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/identity"
)

// roleView is a ready role as it is shown; ARN only when it was made.
type roleView struct {
	Name     string   `json:"name"`
	Persona  string   `json:"persona"`
	Policies []string `json:"policies"`
	ARN      string   `json:"arn,omitempty"`
}

// newAccessRoles lists the ready roles, or makes some of them.
func newAccessRoles(std IO, p Program, o *Options) *cobra.Command {
	var account string
	var create, asJSON bool
	cmd := &cobra.Command{
		Use: "roles [NAME...]", Short: "List the ready roles for a team, or make them",
		Long: `Lists the ready roles for ML engineers, data scientists, application developers and
operations. With --create it makes those that are named, or all, in an account, with
their policies; who may assume them is then a matter of the account's own policies.`,
		Example: "  outcrop access roles\n  outcrop access roles DataScientist --create --account 222233334444",
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := chooseRoles(args)
			if err != nil {
				return err
			}
			return with(cmd.Context(), p, o, func(l *Local) error {
				views := make([]roleView, len(chosen))
				for i, t := range chosen {
					views[i] = roleView{Name: t.Name, Persona: t.Persona, Policies: t.Policies}
					if create {
						r, err := l.Directory.CreateRoleFrom(cmd.Context(), cmp.Or(account, l.Account), t)
						if err != nil {
							return plain(err)
						}
						views[i].ARN = r.ARN()
					}
				}
				if asJSON {
					return writeJSON(std.Out, views)
				}
				return table(std.Out, "ROLE\tFOR\tPOLICIES", func(w io.Writer) {
					for _, v := range views {
						fmt.Fprintf(w, "%s\t%s\t%s\n", cmp.Or(v.ARN, v.Name), v.Persona, strings.Join(v.Policies, " "))
					}
				})
			})
		},
	}
	cmd.Flags().BoolVar(&create, "create", false, "make the roles")
	cmd.Flags().StringVar(&account, "account", "", "account that gets them, 12 digits (default: the first key's)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// chooseRoles returns the templates with the names; all of them for none.
func chooseRoles(names []string) ([]identity.RoleTemplate, error) {
	all := identity.RoleTemplates()
	if len(names) == 0 {
		return all, nil
	}
	var out []identity.RoleTemplate
	known := make([]string, len(all))
	for i, t := range all {
		known[i] = t.Name
	}
	for _, n := range names {
		found := false
		for _, t := range all {
			if strings.EqualFold(t.Name, n) {
				out, found = append(out, t), true
			}
		}
		if !found {
			return nil, &usageError{fmt.Errorf("there is no ready role %q, but %s", n, strings.Join(known, ", "))}
		}
	}
	return out, nil
}
