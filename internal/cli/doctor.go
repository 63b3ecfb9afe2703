package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func newDoctor(std IO, p Program, o *Options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Check data directory, engine, models, port and clock, and say what to do",
		Example: "  outcrop doctor\n  outcrop doctor --json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			checks := p.Doctor(cmd.Context(), *o)
			bad := 0
			for _, c := range checks {
				if !c.OK {
					bad++
				}
			}
			if asJSON {
				if err := writeJSON(std.Out, checks); err != nil {
					return err
				}
			} else if err := printChecks(std.Out, checks, bad); err != nil {
				return err
			}
			if bad > 0 {
				return errSilent
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printChecks(w io.Writer, checks []Check, bad int) error {
	for _, c := range checks {
		mark := "ok  "
		if !c.OK {
			mark = "FAIL"
		}
		if _, err := fmt.Fprintf(w, "%s  %-14s %s\n", mark, c.Name, c.Detail); err != nil {
			return err
		}
		if c.Fix != "" {
			if _, err := fmt.Fprintf(w, "      %-14s -> %s\n", "", c.Fix); err != nil {
				return err
			}
		}
	}
	if bad == 0 {
		_, err := fmt.Fprintln(w, "\nEverything is in order.")
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d of %d checks failed.\n", bad, len(checks))
	return err
}

func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
