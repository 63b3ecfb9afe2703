package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/analyze"
)

// findingView is a finding as the API tells it.
type findingView struct {
	FindingID   string   `json:"findingId"`
	Type        string   `json:"type"`
	Resource    string   `json:"resource"`
	Detail      string   `json:"detail"`
	Advice      string   `json:"advice"`
	Principals  []string `json:"principals,omitempty"`
	IsPublic    bool     `json:"isPublic,omitempty"`
	Actions     []string `json:"actions,omitempty"`
	AccessKeyID string   `json:"accessKeyId,omitempty"`
	LastUsed    string   `json:"lastUsed,omitempty"`
}

// reviewView is an access review as the API tells it.
type reviewView struct {
	Findings   []findingView `json:"findings"`
	UnusedDays int           `json:"unusedDays"`
	Since      string        `json:"since"`
}

// The widths of the table, so that it fits 100 columns with the longest type.
const (
	reviewResource = 28
	reviewDetail   = 51
)

func newAccessAnalyze(std IO, p Program, o *Options) *cobra.Command {
	var days int
	var types []string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "analyze", Short: "Find access that nobody uses, that reaches outside, or that is too wide", Args: exactly(),
		Long: `Reviews the caller's account: users, roles, keys and permissions that nobody used,
keys that are too old, principals of other accounts that are let in, and policies
that allow everything. Nothing is stored: a finding is gone when its reason is.`,
		Example: "  outcrop access analyze\n  outcrop access analyze --days 30 --type EXTERNAL_ACCESS,UNUSED_ROLE --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkDays(days); err != nil {
				return err
			}
			for i, t := range types {
				types[i] = strings.ToUpper(t)
				if !slices.Contains(analyze.Types(), analyze.Type(types[i])) {
					return &usageError{fmt.Errorf("--type: there is no type %q of findings, but %s", t, typeNames())}
				}
			}
			return withAPI(cmd.Context(), std, p, o, func(c *apiClient) error {
				var v reviewView
				if err := c.call(cmd.Context(), http.MethodGet, "/outcrop/access-review?unusedDays="+strconv.Itoa(days), nil, &v); err != nil {
					return err
				}
				if len(types) > 0 {
					v.Findings = slices.DeleteFunc(v.Findings, func(f findingView) bool { return !slices.Contains(types, f.Type) })
				}
				if asJSON {
					return writeJSON(std.Out, v)
				}
				return writeReview(std.Out, &v)
			})
		},
	}
	cmd.Flags().IntVar(&days, "days", analyze.DefaultDays, "what nobody used for so many days is unused, 1 to 365")
	cmd.Flags().StringSliceVar(&types, "type", nil, "only findings of these types (default: all)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with advice, actions and principals")
	return cmd
}

func checkDays(n int) error {
	if n < 1 || n > analyze.MaxDays {
		return &usageError{fmt.Errorf("--days: %d is not 1 to %d", n, analyze.MaxDays)}
	}
	return nil
}

func typeNames() string {
	var names []string
	for _, t := range analyze.Types() {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ")
}

// writeReview writes a review as a table of at most 100 columns.
func writeReview(w io.Writer, v *reviewView) error {
	since, _, _ := strings.Cut(v.Since, "T")
	if len(v.Findings) == 0 {
		_, err := fmt.Fprintf(w, "Nothing was found. What nobody used since %s counts as unused.\n", since)
		return err
	}
	err := table(w, "TYPE\tRESOURCE\tWHAT IS THE MATTER", func(w io.Writer) {
		for i := range v.Findings {
			f := &v.Findings[i]
			fmt.Fprintf(w, "%s\t%s\t%s\n", f.Type, printable(short(shortARN(f.Resource), reviewResource)), printable(short(f.Detail, reviewDetail)))
		}
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\n%s. What nobody used since %s counts as unused.\n", counted(len(v.Findings), "finding"), since)
	return err
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// shortARN is an ARN without what all of an account have in common.
func shortARN(s string) string {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) < 6 {
		return s
	}
	return parts[5]
}

func newAccessPolicy(std IO, p Program, o *Options) *cobra.Command {
	var days int
	var asJSON bool
	cmd := &cobra.Command{
		Use: "policy PRINCIPAL-ARN", Short: "Make a policy of what a user or role did", Args: exactly("PRINCIPAL-ARN"),
		Long: `Prints a policy that allows what a user or role did in the last days, on the
resources that it did it on, and nothing else.`,
		Example: "  outcrop access policy arn:aws:iam::000000000000:role/app --days 30",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkDays(days); err != nil {
				return err
			}
			return withAPI(cmd.Context(), std, p, o, func(c *apiClient) error {
				var v struct {
					PolicyDocument string   `json:"policyDocument,omitempty"`
					Exact          bool     `json:"exact"`
					UsedActions    []string `json:"usedActions"`
					UnusedActions  []string `json:"unusedActions"`
					Since          string   `json:"since"`
				}
				in := map[string]any{"principalArn": args[0], "days": days}
				if err := c.call(cmd.Context(), http.MethodPost, "/outcrop/generated-policies", in, &v); err != nil {
					return err
				}
				if asJSON {
					return writeJSON(std.Out, v)
				}
				if v.PolicyDocument == "" {
					return errors.New("it did nothing since " + v.Since + ", so there is nothing to allow")
				}
				if _, err := fmt.Fprintln(std.Out, v.PolicyDocument); err != nil {
					return err
				}
				note := ""
				if !v.Exact {
					note = " Resources stand by their types, since there were many."
				}
				_, err := fmt.Fprintf(std.Err, "It used %s and did not use %d that it may use now.%s\n", counted(len(v.UsedActions), "permission"), len(v.UnusedActions), note)
				return err
			})
		},
	}
	cmd.Flags().IntVar(&days, "days", analyze.DefaultDays, "what it did in so many days, 1 to 365")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with the permissions that it used and did not")
	return cmd
}
