package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/bundle"
	"github.com/outcrop/outcrop/internal/weights"
)

func newBundle(std IO, p Program, o *Options) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "bundle",
		Short: "Carry engine and models to a machine without network, in one file",
		Long: `Packs the installed engine, models and the catalogue of the configuration into one
file, and installs such a file elsewhere. There, "outcrop serve --offline" needs no
network at all; the machine needs this program and Python 3.10 or newer.`,
		Example: "  outcrop bundle make outcrop.tar\n  outcrop bundle install outcrop.tar\n  outcrop serve --offline",
	})
	cmd.AddCommand(newBundleMake(std, p, o), newBundleInstall(std, p, o), newBundleShow(std))
	return cmd
}

func newBundleMake(std IO, p Program, o *Options) *cobra.Command {
	var models []string
	cmd := &cobra.Command{
		Use: "make FILE", Short: "Pack engine, models and catalogue into a file", Args: exactly("FILE"),
		Long: `Packs the installed engine, weights and the catalogue that the configuration names.
Every file is checked against its digest. A FILE whose name ends in .gz or .tgz is
compressed; weights hardly get smaller by it.`,
		Example: "  outcrop bundle make outcrop.tar\n  outcrop bundle make outcrop.tgz --models smollm2-135m-instruct,all-minilm-l6-v2",
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd.Context(), p, o, func(l *Local) error {
				ids, err := chosen(l, models)
				if err != nil {
					return err
				}
				if l.Bundle.Engine == "" {
					fmt.Fprintln(std.Err, "The engine is not installed here and will not be in the bundle; outcrop serve installs it.")
				}
				m, sum, err := l.Bundle.Make(cmd.Context(), args[0], ids, progressOn(std.Err))
				if err != nil {
					return err
				}
				printBundle(std.Out, m)
				_, err = fmt.Fprintf(std.Out, "\n%s is made. On the other machine:\n\n  outcrop bundle install %s --sha256 %s\n  outcrop serve --offline\n", args[0], quote(args[0]), sum)
				return err
			})
		},
	}
	cmd.Flags().StringSliceVar(&models, "models", nil, "ids of weights or models to pack (default: all that are installed)")
	return cmd
}

// chosen are the ids of the weights to pack.
func chosen(l *Local, models []string) ([]string, error) {
	ids := []string{}
	if len(models) == 0 {
		installed, err := l.Weights.List()
		for _, m := range installed {
			ids = append(ids, m.ID)
		}
		if err == nil && len(ids) == 0 && l.Bundle.Engine == "" {
			err = errors.New("nothing is installed here; start with: outcrop serve, or outcrop models pull")
		}
		return ids, err
	}
	seen := map[string]bool{}
	for _, id := range models {
		w, err := find(l, id)
		if err != nil {
			return nil, err
		}
		if _, ok := l.Weights.Path(w.ID); !ok {
			return nil, fmt.Errorf("%s is not installed; first: outcrop models pull %s", w.ID, w.ID)
		}
		if !seen[w.ID] {
			seen[w.ID] = true
			ids = append(ids, w.ID)
		}
	}
	return ids, nil
}

func newBundleInstall(std IO, p Program, o *Options) *cobra.Command {
	var sum string
	cmd := &cobra.Command{
		Use: "install FILE", Short: "Install what a bundle holds; no network is used", Args: exactly("FILE"),
		Long: `Unpacks a bundle beside the data, checks every digest, and then moves each part to
its place in one step. A bundle that is damaged or holds anything unusual is refused
and changes nothing. The digest that "bundle make" printed, given with --sha256, proves
that it is the same file.`,
		Example: "  outcrop bundle install outcrop.tar\n  outcrop bundle install outcrop.tar --sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		RunE: func(cmd *cobra.Command, args []string) error {
			if sum != "" && len(sum) != 64 {
				return &usageError{errors.New("--sha256 takes 64 hexadecimal digits")}
			}
			o.Offline = true
			return with(cmd.Context(), p, o, func(l *Local) error {
				m, err := l.Unbundle.Install(cmd.Context(), args[0], sum, progressOn(std.Err))
				if err != nil {
					return err
				}
				printBundle(std.Out, m)
				if m.Catalog {
					fmt.Fprintf(std.Out, "\nThe catalogue lies in %s; name it in the configuration:\n\n  catalog: %s\n", l.Unbundle.Catalog, l.Unbundle.Catalog)
				}
				_, err = fmt.Fprint(std.Out, "\nInstalled. Start with: outcrop serve --offline\n")
				return err
			})
		},
	}
	cmd.Flags().StringVar(&sum, "sha256", "", "digest of the file, which must match")
	return cmd
}

func newBundleShow(std IO) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show FILE", Short: "Tell what a bundle holds", Args: exactly("FILE"),
		Example: "  outcrop bundle show outcrop.tar\n  outcrop bundle show outcrop.tar --json",
		RunE: func(_ *cobra.Command, args []string) error {
			m, err := bundle.Show(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(std.Out, m)
			}
			printBundle(std.Out, m)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with every file and its digest")
	return cmd
}

// printBundle tells what a bundle holds, for people.
func printBundle(w io.Writer, m *bundle.Manifest) {
	engine, models := m.Engine, strings.Join(m.Models, ", ")
	if engine == "" {
		engine = "none"
	} else {
		engine += " for " + m.Platform
	}
	if models == "" {
		models = "none"
	}
	_, _ = fmt.Fprintf(w, "engine     %s\nmodels     %s\ncatalogue  %s\nfiles      %d, %s\nmade       %s by Outcrop %s\n", // nobody may be reading
		engine, models, yes(m.Catalog), len(m.Files), weights.Bytes(m.Size()), m.Made.Format("2006-01-02 15:04 MST"), m.Outcrop)
}
