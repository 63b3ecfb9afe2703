package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/wire/arn"
)

// modelAccessView is an account's access to a model as the API tells it.
type modelAccessView struct {
	ModelID       string `json:"modelId"`
	State         string `json:"state"`
	AcceptedBy    string `json:"acceptedBy,omitempty"`
	AcceptedAt    string `json:"acceptedAt,omitempty"`
	ApprovedBy    string `json:"approvedBy,omitempty"`
	ApprovedAt    string `json:"approvedAt,omitempty"`
	License       string `json:"license,omitempty"`
	LicenseDigest string `json:"licenseDigest,omitempty"`
}

func modelAccessPath(account string) string {
	return "/outcrop/accounts/" + account + "/model-access"
}

func newAccessModels(std IO, p Program, o *Options) *cobra.Command {
	var account string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "models", Short: "List the models whose terms an account accepted, and who approved it", Args: exactly(),
		Long: `Asks a running server which models' terms an account accepted. The management
account may ask for every account, others for themselves. What an operator may do
without a server and a key is under: outcrop models access`,
		Example: "  outcrop access models --account 222233334444",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAPI(cmd.Context(), std, p, o, func(c *apiClient) error {
				if account == "" {
					id, err := c.account(cmd.Context())
					if err != nil {
						return err
					}
					account = id
				}
				if !arn.ValidAccount(account) {
					return &usageError{fmt.Errorf("--account: %q is no account id of 12 digits", account)}
				}
				var v struct {
					Models []modelAccessView `json:"models"`
				}
				if err := c.call(cmd.Context(), http.MethodGet, modelAccessPath(account), nil, &v); err != nil {
					return err
				}
				if asJSON {
					return writeJSON(std.Out, v.Models)
				}
				return table(std.Out, "MODEL\tSTATE\tLICENSE\tACCEPTED BY\tAPPROVED BY", func(w io.Writer) {
					for _, m := range v.Models {
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", m.ModelID, m.State, printable(short(m.License, 20)), shortARN(m.AcceptedBy), shortARN(m.ApprovedBy))
					}
				})
			})
		},
	}
	cmd.Flags().StringVar(&account, "account", "", "account, 12 digits (default: the caller's)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newAccessApproveModel(std IO, p Program, o *Options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "approve-model ACCOUNT MODEL", Short: "Let an account use a model whose terms it accepted", Args: exactly("ACCOUNT", "MODEL"),
		Long: `Lets an account use a model whose terms it accepted, in the name of whoever this
shell's key belongs to: a principal of the management account who may call
outcrop:ApproveModelAccess and is not the one who accepted them.`,
		Example: "  outcrop access approve-model 222233334444 anthropic.claude-v2",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !arn.ValidAccount(args[0]) {
				return &usageError{fmt.Errorf("%q is no account id of 12 digits", args[0])}
			}
			return withAPI(cmd.Context(), std, p, o, func(c *apiClient) error {
				var v struct {
					Model modelAccessView `json:"model"`
				}
				if err := c.call(cmd.Context(), http.MethodPost, modelAccessPath(args[0])+"/"+url.PathEscape(args[1])+"/approve", nil, &v); err != nil {
					return err
				}
				if asJSON {
					return writeJSON(std.Out, v.Model)
				}
				_, err := fmt.Fprintf(std.Out, "%s is %s for account %s.\n", v.Model.ModelID, v.Model.State, args[0])
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
