package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// newModelAccess is where an operator approves what accounts agreed to.
func newModelAccess(std IO, p Program, o *Options) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "access",
		Short: "Approve which accounts may use which models",
		Long: `An account that accepts the terms of a model with CreateFoundationModelAgreement waits
for an approver, unless it is approved automatically as the first account is. A
running server knows of every change within a second.`,
		Example: "  outcrop models access list --waiting\n  outcrop models access approve anthropic.claude-3-haiku-20240307-v1:0 --account 222233334444",
	})
	cmd.AddCommand(newModelAccessList(std, p, o), newModelAccessApprove(std, p, o), newModelAccessEnd(std, p, o), newModelAccessMode(std, p, o))
	return cmd
}

// withAgreements opens the installation's agreements and runs f.
func withAgreements(ctx context.Context, p Program, o *Options, f func(*Local, *agreement.Service) error) error {
	return with(ctx, p, o, func(l *Local) error {
		s, err := l.Agreements(ctx)
		if err != nil {
			return err
		}
		return f(l, s)
	})
}

// operator names who runs this command.
func operator() string {
	u, err := user.Current()
	if err != nil {
		return "operator"
	}
	return "operator:" + u.Username
}

// agreementView is an agreement as it is shown.
type agreementView struct {
	Account       string           `json:"account"`
	Model         string           `json:"model"`
	Status        agreement.Status `json:"status"`
	License       string           `json:"license,omitempty"`
	LicenseURL    string           `json:"license_url,omitempty"`
	AcceptableUse string           `json:"acceptable_use,omitempty"`
	Digest        string           `json:"digest,omitempty"`
	AcceptedBy    string           `json:"accepted_by,omitempty"`
	AcceptedAt    *time.Time       `json:"accepted_at,omitempty"`
	ApprovedBy    string           `json:"approved_by,omitempty"`
	Regions       []string         `json:"regions,omitempty"`
	MonthlyTokens int64            `json:"monthly_tokens,omitempty"`
}

func viewAgreement(l *Local, s *agreement.Service, a *agreement.Agreement) agreementView {
	v := agreementView{Account: a.Account, Model: a.Model, Status: agreement.NotAvailable}
	if m, err := l.Catalog.Get(a.Model, ""); err == nil { // else the catalogue knows it no more
		w, _ := l.Catalog.WeightsByID(m.Weights)
		v.Status = s.Status(a.Account, &m, &w)
	}
	if n := len(a.Accepted); n > 0 {
		last := a.Accepted[n-1]
		v.License, v.LicenseURL, v.AcceptableUse, v.Digest = last.License, last.LicenseURL, last.AcceptableUse, last.Digest
		v.AcceptedBy, v.AcceptedAt = last.By, &last.At
	}
	if a.Approved != nil {
		v.ApprovedBy, v.Regions, v.MonthlyTokens = a.Approved.By, a.Approved.Limits.Regions, a.Approved.Limits.MonthlyTokens
	}
	return v
}

func newModelAccessList(std IO, p Program, o *Options) *cobra.Command {
	var account string
	var waiting, asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List who agreed to what, and what waits for an approver", Args: exactly(),
		Example: "  outcrop models access list --waiting\n  outcrop models access list --account 222233334444 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAgreements(cmd.Context(), p, o, func(l *Local, s *agreement.Service) error {
				all := s.Agreements(account)
				if waiting {
					all = s.Waiting()
				}
				views := []agreementView{}
				for i := range all {
					if account == "" || all[i].Account == account {
						views = append(views, viewAgreement(l, s, &all[i]))
					}
				}
				if asJSON {
					return writeJSON(std.Out, views)
				}
				return table(std.Out, "ACCOUNT\tMODEL\tSTATUS\tLICENSE\tACCEPTED BY\tAPPROVED BY", func(w io.Writer) {
					for _, v := range views {
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", v.Account, v.Model, v.Status, v.License, v.AcceptedBy, v.ApprovedBy)
					}
				})
			})
		},
	}
	cmd.Flags().StringVar(&account, "account", "", "only agreements of this account")
	cmd.Flags().BoolVar(&waiting, "waiting", false, "only agreements that wait for an approver")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newModelAccessApprove(std IO, p Program, o *Options) *cobra.Command {
	var account string
	var l agreement.Limits
	cmd := &cobra.Command{
		Use: "approve MODEL", Short: "Let an account use a model whose terms it accepted", Args: exactly("MODEL"),
		Long:    "Lets an account use a model whose terms it accepted. Approving again changes the limits.",
		Example: "  outcrop models access approve anthropic.claude-v2 --account 222233334444\n  outcrop models access approve anthropic.claude-v2 --account 222233334444 --region eu-west-1 --monthly-tokens 1000000",
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, r := range l.Regions {
				if !arn.ValidRegion(r) {
					return &usageError{fmt.Errorf("--region: %q is no AWS region", r)}
				}
			}
			return changeAgreement(cmd.Context(), p, o, account, args[0], func(s *agreement.Service, model string) error {
				err := s.Approve(cmd.Context(), account, model, operator(), l)
				if errors.Is(err, agreement.ErrNone) {
					return fmt.Errorf("account %s has not accepted the terms of %s; it does so with CreateFoundationModelAgreement", account, model)
				}
				if errors.Is(err, agreement.ErrLimits) {
					return &usageError{errors.New("--monthly-tokens may not be negative")}
				}
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(std.Out, "Account %s may use %s.\n", account, model)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&account, "account", "", "account that may use the model")
	cmd.Flags().StringSliceVar(&l.Regions, "region", nil, "only in these regions (default: all)")
	cmd.Flags().Int64Var(&l.MonthlyTokens, "monthly-tokens", 0, "at most so many tokens in a calendar month (default: no limit)")
	return cmd
}

func newModelAccessEnd(std IO, p Program, o *Options) *cobra.Command {
	var account string
	cmd := &cobra.Command{
		Use: "end MODEL", Short: "End an account's access to a model", Args: exactly("MODEL"),
		Example: "  outcrop models access end anthropic.claude-v2 --account 222233334444",
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeAgreement(cmd.Context(), p, o, account, args[0], func(s *agreement.Service, model string) error {
				err := s.GiveUp(cmd.Context(), account, model, operator())
				if errors.Is(err, agreement.ErrNone) {
					return fmt.Errorf("account %s has no access to %s that could end", account, model)
				}
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(std.Out, "Account %s may not use %s any more.\n", account, model)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&account, "account", "", "account that may not use the model any more")
	return cmd
}

// changeAgreement checks the account and the model and runs f with the model's id.
func changeAgreement(ctx context.Context, p Program, o *Options, account, id string, f func(s *agreement.Service, model string) error) error {
	if !arn.ValidAccount(account) {
		return &usageError{errors.New("--account: want an account id of 12 digits")}
	}
	return withAgreements(ctx, p, o, func(l *Local, s *agreement.Service) error {
		m, err := l.Catalog.Get(id, "")
		if err != nil {
			return fmt.Errorf("no model %q; list them with: outcrop models list", id)
		}
		if agreement.Exempt(&m) {
			return fmt.Errorf("%s needs no agreement", m.ID)
		}
		return f(s, m.ID)
	})
}

func newModelAccessMode(std IO, p Program, o *Options) *cobra.Command {
	modes := []string{string(agreement.Automatic), string(agreement.ByApprover)}
	return &cobra.Command{
		Use: "mode ACCOUNT [MODE]", Short: "Show or set how an account is approved: automatic or by-approver",
		Example: "  outcrop models access mode 222233334444\n  outcrop models access mode 222233334444 automatic",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return exactly("ACCOUNT")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			account := args[0]
			if !arn.ValidAccount(account) {
				return &usageError{fmt.Errorf("%q is no account id of 12 digits", account)}
			}
			if len(args) == 2 && args[1] != modes[0] && args[1] != modes[1] {
				return &usageError{fmt.Errorf("%q is no way of approval: want %s", args[1], strings.Join(modes, " or "))}
			}
			return withAgreements(cmd.Context(), p, o, func(_ *Local, s *agreement.Service) error {
				if len(args) == 2 {
					if err := s.SetApproval(cmd.Context(), account, agreement.Approval(args[1])); err != nil {
						return err
					}
				}
				_, err := fmt.Fprintf(std.Out, "Account %s is approved: %s\n", account, s.Approval(account))
				return err
			})
		},
	}
}
