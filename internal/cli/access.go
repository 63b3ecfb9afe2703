package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// requestView is an access request as the API tells it.
type requestView struct {
	RequestID       string          `json:"requestId"`
	Kind            string          `json:"kind"`
	State           string          `json:"state"`
	Requester       string          `json:"requester"`
	Reason          string          `json:"reason"`
	Ticket          string          `json:"ticket,omitempty"`
	RoleARN         string          `json:"roleArn,omitempty"`
	DurationSeconds int             `json:"durationSeconds,omitempty"`
	SessionPolicy   string          `json:"sessionPolicy,omitempty"`
	Action          string          `json:"action,omitempty"`
	Resources       []string        `json:"resources,omitempty"`
	Input           json.RawMessage `json:"input,omitempty"`
	Approver        string          `json:"approver,omitempty"`
	Comment         string          `json:"comment,omitempty"`
	CreatedAt       string          `json:"createdAt"`
	ExpiresAt       string          `json:"expiresAt"`
	DecidedAt       string          `json:"decidedAt,omitempty"`
	StartedAt       string          `json:"startedAt,omitempty"`
	EndsAt          string          `json:"endsAt,omitempty"`
	EndedAt         string          `json:"endedAt,omitempty"`
	Failure         string          `json:"failure,omitempty"`
}

// what is asked for, in a few words.
func (v *requestView) what() string {
	if v.Kind == "CHANGE" {
		return v.Action
	}
	return v.RoleARN[strings.LastIndexByte(v.RoleARN, '/')+1:] + " for " + (time.Duration(v.DurationSeconds) * time.Second).String()
}

const accessPath = "/outcrop/access-requests"

func newAccess(std IO, p Program, o *Options) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "access",
		Short: "Ask for access, agree to it, and review who has what",
		Long: `Asks a running server for a role for a while, or agrees to what others ask for.
The caller is whoever this shell's AWS_ACCESS_KEY_ID belongs to, or the root of
the installation's own account when it is not set.`,
		Example: "  outcrop access request arn:aws:iam::000000000000:role/admin --reason 'disk full' --duration 1h\n  outcrop access list\n  outcrop access approve req-EXAMPLE --mfa-serial arn:aws:iam::000000000000:mfa/bob --code 123456",
	})
	cmd.AddCommand(newAccessRequest(std, p, o), newAccessList(std, p, o), newAccessShow(std, p, o), newAccessSession(std, p, o), newAccessRule(std, p, o), newAccessRoles(std, p, o), newAccessAnalyze(std, p, o), newAccessPolicy(std, p, o), newAccessModels(std, p, o), newAccessApproveModel(std, p, o),
		newAccessDecide(std, p, o, "approve", "Agree to a request of somebody else; a change is then made at once"),
		newAccessDecide(std, p, o, "reject", "Refuse a request of somebody else"),
		newAccessDecide(std, p, o, "end", "Take a request back, or end an elevated session at once"),
	)
	return cmd
}

func newAccessRequest(std IO, p Program, o *Options) *cobra.Command {
	var reason, ticket, policyFile string
	var duration time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use: "request ROLE-ARN", Short: "Ask for a session of a role, for a while",
		Long:    "Asks for a session of a role. Once another principal has approved it, `outcrop access session` gives the credentials.",
		Example: "  outcrop access request arn:aws:iam::000000000000:role/admin --reason 'restore a backup' --ticket OPS-7 --duration 30m",
		Args:    exactly("ROLE-ARN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if reason == "" {
				return &usageError{errors.New("--reason is missing: say what the access is for")}
			}
			in := map[string]any{"roleArn": args[0], "reason": reason, "durationSeconds": int(duration / time.Second)}
			if ticket != "" {
				in["ticket"] = ticket
			}
			if policyFile != "" {
				b, err := os.ReadFile(policyFile) // #nosec G304 -- the caller names the file
				if err != nil {
					return fmt.Errorf("read the session policy: %w", err)
				}
				in["sessionPolicy"] = string(b)
			}
			return withAPI(cmd.Context(), std, p, o, func(c *apiClient) error {
				v, err := c.request(cmd.Context(), http.MethodPost, accessPath, in)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(std.Out, v)
				}
				_, err = fmt.Fprintf(std.Out, "%s waits for an approval until %s.\nSomebody else runs: outcrop access approve %s\nThen you run:       eval \"$(outcrop access session %s)\"\n", v.RequestID, v.ExpiresAt, v.RequestID, v.RequestID)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "what the access is for")
	cmd.Flags().StringVar(&ticket, "ticket", "", "number of a ticket")
	cmd.Flags().StringVar(&policyFile, "policy", "", "file with a session policy that bounds the session further")
	cmd.Flags().DurationVar(&duration, "duration", time.Hour, "how long the session may last, 15m to 8h")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// request calls an operation that answers with an access request.
func (c *apiClient) request(ctx context.Context, method, path string, in any) (*requestView, error) {
	var out struct {
		AccessRequest requestView `json:"accessRequest"`
	}
	if err := c.call(ctx, method, path, in, &out); err != nil {
		return nil, err
	}
	return &out.AccessRequest, nil
}

func newAccessList(std IO, p Program, o *Options) *cobra.Command {
	var state string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List access requests, newest first", Example: "  outcrop access list --state PENDING", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAPI(cmd.Context(), std, p, o, func(c *apiClient) error {
				all := []requestView{}
				q := url.Values{}
				if state != "" {
					q.Set("state", strings.ToUpper(state))
				}
				for {
					var page struct {
						AccessRequests []requestView `json:"accessRequests"`
						NextToken      string        `json:"nextToken"`
					}
					path := accessPath
					if len(q) > 0 {
						path += "?" + q.Encode()
					}
					if err := c.call(cmd.Context(), http.MethodGet, path, nil, &page); err != nil {
						return err
					}
					all = append(all, page.AccessRequests...)
					if page.NextToken == "" {
						break
					}
					q.Set("nextToken", page.NextToken)
				}
				if asJSON {
					return writeJSON(std.Out, all)
				}
				return table(std.Out, "REQUEST\tSTATE\tWHAT\tWHO\tREASON", func(w io.Writer) {
					for i := range all {
						v := &all[i]
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.RequestID, v.State, v.what(), v.Requester[strings.LastIndexByte(v.Requester, ':')+1:], printable(short(v.Reason, 40)))
					}
				})
			})
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "only requests in this state, e.g. PENDING")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// short cuts s to n characters.
func short(s string, n int) string {
	r := []rune(strings.ReplaceAll(s, "\n", " "))
	if len(r) <= n {
		return string(r)
	}
	return string(r[:n-1]) + "…"
}

func newAccessShow(std IO, p Program, o *Options) *cobra.Command {
	return &cobra.Command{
		Use: "show REQUEST", Short: "Show all of a request, as JSON", Example: "  outcrop access show req-EXAMPLE", Args: exactly("REQUEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withAPI(cmd.Context(), std, p, o, func(c *apiClient) error {
				v, err := c.request(cmd.Context(), http.MethodGet, accessPath+"/"+url.PathEscape(args[0]), nil)
				if err != nil {
					return err
				}
				return writeJSON(std.Out, v)
			})
		},
	}
}

func newAccessDecide(std IO, p Program, o *Options, verb, short string) *cobra.Command {
	var comment, serial, code string
	var asJSON bool
	cmd := &cobra.Command{
		Use: verb + " REQUEST", Short: short, Example: "  outcrop access " + verb + " req-EXAMPLE --comment 'seen with ana'", Args: exactly("REQUEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (serial == "") != (code == "") {
				return &usageError{errors.New("--mfa-serial and --code go together")}
			}
			return withAPI(cmd.Context(), std, p, o, func(c *apiClient) error {
				if serial != "" {
					if err := c.prove(cmd.Context(), serial, code); err != nil {
						return err
					}
				}
				in := map[string]any{}
				if comment != "" {
					in["comment"] = comment
				}
				v, err := c.request(cmd.Context(), http.MethodPost, accessPath+"/"+url.PathEscape(args[0])+"/"+verb, in)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(std.Out, v)
				}
				if v.Failure != "" {
					fmt.Fprintf(std.Out, "%s is %s: %s\n", v.RequestID, v.State, printable(v.Failure))
					return errSilent
				}
				_, err = fmt.Fprintf(std.Out, "%s is %s.\n", v.RequestID, v.State)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&comment, "comment", "", "a word to whoever reads the request")
	if verb != "end" {
		cmd.Flags().StringVar(&serial, "mfa-serial", "", "ARN of your MFA device, unless this shell has a session with a code already")
		cmd.Flags().StringVar(&code, "code", "", "the six digits that the device shows")
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// processCredentials is what AWS SDKs read from a credential_process.
type processCredentials struct {
	Version         int    `json:"Version"`
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string `json:"SecretAccessKey"`
	SessionToken    string `json:"SessionToken"`
	Expiration      string `json:"Expiration"`
}

func newAccessSession(std IO, p Program, o *Options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "session REQUEST", Short: "Get the credentials of an approved request",
		Long:    "Prints export lines for this shell. With --json it prints what the credential_process of an AWS profile has to.",
		Example: "  eval \"$(outcrop access session req-EXAMPLE)\"",
		Args:    exactly("REQUEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withAPI(cmd.Context(), std, p, o, func(c *apiClient) error {
				var s struct{ AccessKeyID, SecretAccessKey, SessionToken, Expiration string }
				if err := c.call(cmd.Context(), http.MethodPost, accessPath+"/"+url.PathEscape(args[0])+"/session", nil, &s); err != nil {
					return err
				}
				if asJSON {
					return writeJSON(std.Out, processCredentials{1, s.AccessKeyID, s.SecretAccessKey, s.SessionToken, s.Expiration})
				}
				_, err := fmt.Fprintf(std.Out, "export AWS_ACCESS_KEY_ID=%s\nexport AWS_SECRET_ACCESS_KEY=%s\nexport AWS_SESSION_TOKEN=%s\n# until %s\n", quote(s.AccessKeyID), quote(s.SecretAccessKey), quote(s.SessionToken), s.Expiration)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON for credential_process")
	return cmd
}

func newAccessRule(std IO, p Program, o *Options) *cobra.Command {
	var set []string
	var none, asJSON bool
	cmd := &cobra.Command{
		Use: "rule", Short: "Show or set which actions of the account need an approval",
		Long:    "Shows which actions of the account need an approval, or sets them. A rule\nthat lets go of an action needs an approval itself.",
		Example: "  outcrop access rule\n  outcrop access rule --set bedrock:CreateProvisionedModelThroughput,bedrock:UpdateAgentAlias\n  outcrop access rule --none",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if none && len(set) > 0 {
				return &usageError{errors.New("--set and --none exclude each other")}
			}
			return withAPI(cmd.Context(), std, p, o, func(c *apiClient) error {
				var rule struct {
					Actions []string `json:"actions"`
				}
				method, in := http.MethodGet, any(nil)
				if none || len(set) > 0 {
					method, in = http.MethodPut, map[string]any{"actions": append([]string{}, set...)}
				}
				if err := c.call(cmd.Context(), method, "/outcrop/approval-rule", in, &rule); err != nil {
					return err
				}
				if asJSON {
					return writeJSON(std.Out, rule)
				}
				if len(rule.Actions) == 0 {
					_, err := fmt.Fprintln(std.Out, "No action of this account needs an approval.")
					return err
				}
				_, err := fmt.Fprintf(std.Out, "These actions need an approval:\n  %s\n", strings.Join(rule.Actions, "\n  "))
				return err
			})
		},
	}
	cmd.Flags().StringSliceVar(&set, "set", nil, "IAM actions that need an approval from now on, instead of those before")
	cmd.Flags().BoolVar(&none, "none", false, "let every action go without an approval")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
