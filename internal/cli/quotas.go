package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/quota"
)

// The words for values that are no numbers.
const (
	unlimitedWord = "unlimited"
	defaultWord   = "default"
	everyWord     = "every"
)

// newQuotas is where an operator says what accounts and principals may use.
func newQuotas(std IO, p Program, o *Options) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "quotas",
		Short: "Show and set how much accounts and principals may use",
		Long: `Calls over a quota get ThrottlingException. There are five kinds: requests-per-minute,
requests-per-day, tokens-per-minute, tokens-per-day and concurrent-requests. What is shipped for every
account stops a flood only. A running server knows of every change within a second.`,
		Example: "  outcrop quotas set tokens-per-minute 50000 --account 222233334444\n  outcrop quotas list",
	})
	cmd.AddCommand(newQuotasList(std, p, o), newQuotasSet(std, p, o), newQuotasRequests(std, p, o),
		newQuotasAnswer(std, p, o, "approve", "Set the quota that a request asks for", (*quota.Service).Approve),
		newQuotasAnswer(std, p, o, "deny", "Leave the quota as it is that a request asks for", (*quota.Service).Deny))
	return cmd
}

// withQuotas opens the installation's quotas and runs f.
func withQuotas(ctx context.Context, p Program, o *Options, f func(*Local, *quota.Service) error) error {
	return with(ctx, p, o, func(l *Local) error {
		s, err := l.Quotas(ctx)
		if err != nil {
			return err
		}
		return f(l, s)
	})
}

// quotaView is a setting as it is shown. A field that is missing means every one.
type quotaView struct {
	Account   string     `json:"account,omitempty"`
	Region    string     `json:"region,omitempty"`
	Model     string     `json:"model,omitempty"`
	Principal string     `json:"principal,omitempty"`
	Kind      quota.Kind `json:"kind"`
	Value     int64      `json:"value"` // -1: unlimited
	Burst     int64      `json:"burst,omitempty"`
	SetBy     string     `json:"set_by,omitempty"` // "" for what is shipped
	SetAt     *time.Time `json:"set_at,omitempty"`
}

func newQuotasList(std IO, p Program, o *Options) *cobra.Command {
	var account string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List what is shipped and what was set", Args: exactly(),
		Example: "  outcrop quotas list\n  outcrop quotas list --account 222233334444 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withQuotas(cmd.Context(), p, o, func(_ *Local, s *quota.Service) error {
				var views []quotaView
				for _, k := range quota.Kinds() {
					views = append(views, quotaView{Kind: k, Value: quota.Shipped(k)})
				}
				for _, v := range s.Settings("") {
					if account == "" || v.Account == account || v.Account == "" {
						views = append(views, quotaView{v.Account, v.Region, v.Model, v.Subject, v.Kind, v.Value, v.Burst, v.By, &v.Set})
					}
				}
				if asJSON {
					return writeJSON(std.Out, views)
				}
				return table(std.Out, "ACCOUNT\tREGION\tMODEL\tPRINCIPAL\tQUOTA\tVALUE\tSET BY", func(w io.Writer) {
					for _, v := range views {
						value := strconv.FormatInt(v.Value, 10)
						if v.Value == quota.Unlimited {
							value = unlimitedWord
						}
						principal := v.Principal
						if principal == quota.Everyone {
							principal = "each"
						}
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", cmp.Or(v.Account, everyWord), cmp.Or(v.Region, everyWord), cmp.Or(v.Model, everyWord),
							principal, v.Kind, value, cmp.Or(v.SetBy, "shipped"))
					}
				})
			})
		},
	}
	cmd.Flags().StringVar(&account, "account", "", "only what is about this account")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newQuotasSet(std IO, p Program, o *Options) *cobra.Command {
	var v quota.Setting
	cmd := &cobra.Command{
		Use: "set QUOTA VALUE", Short: "Set a quota", Args: exactly("QUOTA", "VALUE"),
		Long: `Sets a quota to a number, to "unlimited", or back to "default". The most exact setting
holds: one of the account before one of every account, then one of the model, then
one of the region. Requests that the new value fulfils are approved.

With --principal the quota is that of one user, role or application inference
profile, by its ARN; with --principal "*" it is that of each user and role by itself.
Such a call keeps to the quota of its account too.`,
		Example: "  outcrop quotas set requests-per-minute 600 --account 222233334444\n  outcrop quotas set tokens-per-minute 20000 --account 222233334444 --principal '*'\n  outcrop quotas set tokens-per-day default --account 222233334444 --model anthropic.claude-v2",
		RunE: func(cmd *cobra.Command, args []string) error {
			v.Kind, v.By = quota.Kind(args[0]), operator()
			switch args[1] {
			case unlimitedWord:
				v.Value = quota.Unlimited
			case defaultWord:
			default:
				n, err := strconv.ParseInt(args[1], 10, 64)
				if err != nil || n < 0 {
					return &usageError{fmt.Errorf("VALUE: want a number, %q or %q, not %q", unlimitedWord, defaultWord, args[1])}
				}
				v.Value = n
			}
			return withQuotas(cmd.Context(), p, o, func(l *Local, s *quota.Service) error {
				if v.Model != "" {
					m, err := l.Catalog.Get(v.Model, "")
					if err != nil {
						return fmt.Errorf("no model %q; list them with: outcrop models list", v.Model)
					}
					v.Model = m.ID
				}
				change := s.Set
				if args[1] == defaultWord {
					change = s.Unset
				}
				err := change(cmd.Context(), v)
				if e, ok := errors.AsType[*quota.InvalidError](err); ok {
					if e.Field == "kind" {
						return &usageError{fmt.Errorf("QUOTA: %s; want %s", e.Reason, kindWords())}
					}
					return &usageError{fmt.Errorf("%s: %s", e.Field, e.Reason)}
				}
				if errors.Is(err, quota.ErrNone) {
					return fmt.Errorf("%s was not set; see what was with: outcrop quotas list", v.Kind)
				}
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(std.Out, "%s of account %s: %s\n", v.Kind, cmp.Or(v.Account, everyWord), args[1])
				return err
			})
		},
	}
	cmd.Flags().StringVar(&v.Account, "account", "", "account that the quota is about (default: every account without one of its own)")
	cmd.Flags().StringVar(&v.Region, "region", "", "region that it is about (default: all regions together)")
	cmd.Flags().StringVar(&v.Model, "model", "", "model that it is about (default: every model)")
	cmd.Flags().StringVar(&v.Subject, "principal", "", "ARN of a user, role or profile, or \"*\" for each user and role (default: the whole account)")
	cmd.Flags().Int64Var(&v.Burst, "burst", 0, "how much of a quota of a minute may be used at once (default: a tenth)")
	return cmd
}

func kindWords() string {
	var words []string
	for _, k := range quota.Kinds() {
		words = append(words, string(k))
	}
	return strings.Join(words, ", ")
}

// quotaRequest is a request for a higher quota as it is shown.
type quotaRequest struct {
	ID      string       `json:"id"`
	Account string       `json:"account"`
	Region  string       `json:"region"`
	Model   string       `json:"model"`
	Kind    quota.Kind   `json:"kind"`
	Value   int64        `json:"value"`
	Now     int64        `json:"now"` // -1: unlimited
	Status  quota.Status `json:"status"`
	By      string       `json:"by"`
	Created time.Time    `json:"created"`
}

func newQuotasRequests(std IO, p Program, o *Options) *cobra.Command {
	var all, asJSON bool
	cmd := &cobra.Command{
		Use: "requests", Short: "List the requests for higher quotas that wait for an answer", Args: exactly(),
		Example: "  outcrop quotas requests\n  outcrop quotas requests --all --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withQuotas(cmd.Context(), p, o, func(_ *Local, s *quota.Service) error {
				views := []quotaRequest{}
				for _, r := range s.Requests("", "") {
					if all || r.Status == quota.Pending {
						views = append(views, quotaRequest{r.ID, r.Account, r.Region, r.Model, r.Kind, r.Value, s.Applied(r.Account, r.Region, r.Model, r.Kind), r.Status, r.By, r.Created})
					}
				}
				if asJSON {
					return writeJSON(std.Out, views)
				}
				return table(std.Out, "ID\tACCOUNT\tREGION\tMODEL\tQUOTA\tNOW\tWANTED\tSTATUS\tBY", func(w io.Writer) {
					for _, v := range views {
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", v.ID, v.Account, v.Region, v.Model, v.Kind, v.Now, v.Value, v.Status, v.By)
					}
				})
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "answered requests too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newQuotasAnswer(std IO, p Program, o *Options, verb, short string, answer func(s *quota.Service, ctx context.Context, id, by string) (quota.Request, error)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " ID", Short: short, Args: exactly("ID"),
		Example: "  outcrop quotas " + verb + " 0123456789abcdef0123456789abcdef",
		RunE: func(cmd *cobra.Command, args []string) error {
			return withQuotas(cmd.Context(), p, o, func(_ *Local, s *quota.Service) error {
				r, err := answer(s, cmd.Context(), args[0], operator())
				switch {
				case errors.Is(err, quota.ErrNone):
					return fmt.Errorf("no request %q; list them with: outcrop quotas requests", args[0])
				case errors.Is(err, quota.ErrAnswered):
					return fmt.Errorf("request %s was answered before", args[0])
				case err != nil:
					return err
				}
				_, err = fmt.Fprintf(std.Out, "%s of account %s for %s in %s, %d: %s\n", r.Kind, r.Account, r.Model, r.Region, r.Value, r.Status)
				return err
			})
		},
	}
}
