package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/fault"
)

const faultsPath = "/outcrop/fault-rules"

// newFaults is where an operator makes models fail on purpose.
func newFaults(std IO, p Program, o *Options) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "faults",
		Short: "Make models fail on purpose, to test what programs do about it",
		Long: `A fault rule makes calls wait, fail or break off, so that a program's time-outs and
retries can be tested. It holds for the next call, and ends by itself after a day
unless --for says otherwise. Answers tell of it in the header x-outcrop-fault.
docs/faults.md shows more.`,
		Example: "  outcrop faults put busy --type throttling --rate 0.3\n  outcrop faults list\n  outcrop faults rm busy",
	})
	cmd.AddCommand(newFaultsPut(std, p, o), newFaultsList(std, p, o), newFaultsRemove(std, p, o))
	return cmd
}

// faultRule is a rule as the API tells it.
type faultRule struct {
	RuleName            string   `json:"ruleName,omitempty"`
	AccountID           string   `json:"accountId,omitempty"`
	ModelID             string   `json:"modelId,omitempty"`
	Fault               string   `json:"fault"`
	Trigger             string   `json:"trigger,omitempty"`
	Rate                *float64 `json:"rate,omitempty"`
	LatencyMilliseconds int64    `json:"latencyMilliseconds,omitempty"`
	AfterTokens         int      `json:"afterTokens,omitempty"`
	MaxFaults           int      `json:"maxFaults,omitempty"`
	Seed                *int64   `json:"seed,omitempty"`
}

// keptFault is a rule that the server keeps.
type keptFault struct {
	faultRule
	CreatedBy  string    `json:"createdBy"`
	CreatedAt  time.Time `json:"createdAt"`
	ExpiresAt  time.Time `json:"expiresAt"`
	CallCount  int64     `json:"callCount"`
	FaultCount int64     `json:"faultCount"`
}

// putFault is what the operation takes.
type putFault struct {
	faultRule
	DurationSeconds int64 `json:"durationSeconds,omitempty"`
}

// faultWord is how a type of fault is written in commands.
func faultWord(t string) string { return strings.ReplaceAll(strings.ToLower(t), "_", "-") }

func faultWords() string {
	var words []string
	for _, t := range fault.Types() {
		words = append(words, faultWord(string(t)))
	}
	return strings.Join(words, ", ")
}

func newFaultsPut(std IO, p Program, o *Options) *cobra.Command {
	var (
		r                 putFault
		kind              string
		rate              float64
		latency, lasts    time.Duration
		seed              int64
		onRequest, asJSON bool
	)
	cmd := &cobra.Command{
		Use: "put NAME", Short: "Make or replace a fault rule", Args: exactly("NAME"),
		Long: "Makes a rule, or replaces the one of the same name. Types of faults:\n" + faultWords() + ".",
		Example: `  outcrop faults put busy --type throttling --rate 0.3
  outcrop faults put first --type unavailable --max 2 --model 'anthropic.*'
  outcrop faults put slow --type latency --latency 20s --account 222233334444 --for 1h
  outcrop faults put cut --type stream-break --after 10 --on-request`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Fault = strings.ToUpper(strings.ReplaceAll(kind, "-", "_"))
			if !slices.Contains(fault.Types(), fault.Type(r.Fault)) {
				return &usageError{fmt.Errorf("--type: there is no fault %q, but %s", kind, faultWords())}
			}
			if latency < 0 || latency%time.Millisecond != 0 {
				return &usageError{errors.New("--latency: want whole milliseconds, e.g. 1500ms or 20s")}
			}
			if lasts < time.Minute || lasts%time.Second != 0 {
				return &usageError{errors.New("--for: want a minute or more, e.g. 1h")}
			}
			r.Rate, r.LatencyMilliseconds, r.DurationSeconds = &rate, latency.Milliseconds(), int64(lasts/time.Second)
			if cmd.Flags().Changed("seed") {
				r.Seed = &seed
			}
			if onRequest {
				r.Trigger = string(fault.OnRequest)
			}
			return withAPI(cmd.Context(), std, p, o, func(c *apiClient) error {
				var made struct {
					FaultRule keptFault `json:"faultRule"`
				}
				if err := c.call(cmd.Context(), http.MethodPut, faultsPath+"/"+url.PathEscape(args[0]), &r, &made); err != nil {
					return err
				}
				if asJSON {
					return writeJSON(std.Out, made.FaultRule)
				}
				f := &made.FaultRule
				_, err := fmt.Fprintf(std.Out, "Rule %s: %s, until %s.\n", f.RuleName, f.describe(), f.ExpiresAt.Local().Format(time.DateTime))
				return err
			})
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&kind, "type", "", "what goes wrong (required)")
	fl.StringVar(&r.AccountID, "account", "", `account whose calls go wrong; "*" means all (default: your own)`)
	fl.StringVar(&r.ModelID, "model", "", `model whose calls go wrong; "*" in it stands for any text (default: all)`)
	fl.Float64Var(&rate, "rate", 1, "share of the calls that go wrong, up to 1")
	fl.DurationVar(&latency, "latency", 0, "wait before the reply or the error, up to 15m")
	fl.IntVar(&r.AfterTokens, "after", 0, "tokens before a reply breaks off (default 3)")
	fl.IntVar(&r.MaxFaults, "max", 0, "so many calls go wrong, the others not (default: no limit)")
	fl.Int64Var(&seed, "seed", 0, "make the sequence of faults the same every time")
	fl.BoolVar(&onRequest, "on-request", false, `only calls whose requestMetadata say "outcrop-fault": NAME`)
	fl.DurationVar(&lasts, "for", fault.DefaultLasts, "how long the rule holds, up to 720h")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// describe says what a rule does.
func (f *keptFault) describe() string {
	parts := []string{faultWord(f.Fault)}
	if f.LatencyMilliseconds > 0 {
		parts = append(parts, "after "+(time.Duration(f.LatencyMilliseconds)*time.Millisecond).String())
	}
	if f.AfterTokens > 0 {
		parts = append(parts, "after "+counted(f.AfterTokens, "token"))
	}
	if f.Rate != nil && *f.Rate < 1 {
		parts = append(parts, fmt.Sprintf("for %.4g %%", 100**f.Rate))
	}
	if f.MaxFaults > 0 {
		parts = append(parts, "at most "+counted(f.MaxFaults, "time"))
	}
	if f.Trigger == string(fault.OnRequest) {
		parts = append(parts, "on request")
	}
	return strings.Join(parts, ", ")
}

func newFaultsList(std IO, p Program, o *Options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the fault rules and what they did", Args: exactly(),
		Long: `Lists the rules that are about your account; to the management account those of
all accounts. Calls and faults count since the server started or the rule changed.`,
		Example: "  outcrop faults list\n  outcrop faults list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAPI(cmd.Context(), std, p, o, func(c *apiClient) error {
				var v struct {
					FaultRules []keptFault `json:"faultRules"`
				}
				if err := c.call(cmd.Context(), http.MethodGet, faultsPath, nil, &v); err != nil {
					return err
				}
				if asJSON {
					return writeJSON(std.Out, v.FaultRules)
				}
				return table(std.Out, "RULE\tACCOUNT\tMODEL\tWHAT\tFAULTS\tENDS", func(w io.Writer) {
					for i := range v.FaultRules {
						f := &v.FaultRules[i]
						model := f.ModelID
						if model == "" {
							model = "*"
						}
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d/%d\t%s\n", f.RuleName, f.AccountID, printable(short(model, 24)), short(f.describe(), 40), f.FaultCount, f.CallCount, age(time.Until(f.ExpiresAt)))
					}
				})
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newFaultsRemove(std IO, p Program, o *Options) *cobra.Command {
	var account string
	cmd := &cobra.Command{
		Use: "rm NAME", Short: "Remove a fault rule", Args: exactly("NAME"),
		Example: "  outcrop faults rm busy\n  outcrop faults rm busy --account 222233334444",
		RunE: func(cmd *cobra.Command, args []string) error {
			path := faultsPath + "/" + url.PathEscape(args[0])
			if account != "" {
				path += "?accountId=" + url.QueryEscape(account)
			}
			return withAPI(cmd.Context(), std, p, o, func(c *apiClient) error {
				if err := c.call(cmd.Context(), http.MethodDelete, path, nil, nil); err != nil {
					return err
				}
				_, err := fmt.Fprintf(std.Out, "Rule %s is gone.\n", args[0])
				return err
			})
		},
	}
	cmd.Flags().StringVar(&account, "account", "", `account of the rule; "*" is that of rules about all (default: your own)`)
	return cmd
}

// age writes a time span in a few letters, e.g. "3d", "12m" or "5s".
func age(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
