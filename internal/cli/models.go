package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/weights"
)

func newModels(std IO, p Program, o *Options) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "models",
		Short:   "List, install, show and remove models",
		Example: "  outcrop models list\n  outcrop models pull gemma-3-270m\n  outcrop models import ./my-model.gguf",
	})
	cmd.AddCommand(newModelsList(std, p, o), newModelsPull(std, p, o), newModelsShow(std, p, o), newModelsRemove(std, p, o), newModelsImport(std, p, o), newModelAccess(std, p, o))
	return cmd
}

// modelView is one id of the API with the weights behind it.
type modelView struct {
	ID        string   `json:"id"`
	Provider  string   `json:"provider"`
	Output    []string `json:"output"`
	ServedBy  string   `json:"served_by"`
	StandIn   bool     `json:"stand_in"`
	Installed bool     `json:"installed"`
}

func newModelsList(std IO, p Program, o *Options) *cobra.Command {
	var asJSON, onlyWeights bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the model ids and what serves them", Args: exactly(),
		Example: "  outcrop models list\n  outcrop models list --weights\n  outcrop models list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd.Context(), p, o, func(l *Local) error {
				if onlyWeights {
					return listWeights(std.Out, l, asJSON)
				}
				return listModels(std.Out, l, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&onlyWeights, "weights", false, "list the weights instead: what can be installed and what is")
	return cmd
}

func listModels(w io.Writer, l *Local, asJSON bool) error {
	views := []modelView{}
	for _, m := range l.Catalog.List(catalog.Filter{}) {
		_, ok := l.Weights.Path(m.Weights)
		if w, known := l.Catalog.WeightsByID(m.Weights); known && w.Remote() {
			ok = true
		}
		views = append(views, modelView{m.ID, m.Provider, m.Output, m.Weights, m.StandIn, ok})
	}
	if asJSON {
		return writeJSON(w, views)
	}
	return table(w, "MODEL ID\tOUTPUT\tSERVED BY\tINSTALLED", func(w io.Writer) {
		for _, v := range views {
			by := v.ServedBy
			if v.StandIn {
				by += " (stand-in)"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.ID, strings.ToLower(strings.Join(v.Output, ",")), by, yes(v.Installed))
		}
	})
}

// weightsView is one model file.
type weightsView struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	License   string `json:"license"`
	Mode      string `json:"mode"`
	Context   int    `json:"context_tokens"`
	Size      int64  `json:"size_bytes,omitempty"`
	Installed bool   `json:"installed"`
}

func listWeights(w io.Writer, l *Local, asJSON bool) error {
	installed, err := l.Weights.List()
	if err != nil {
		return err
	}
	size := map[string]int64{}
	for _, m := range installed {
		size[m.ID] = m.Size
	}
	views := []weightsView{}
	for _, c := range l.Catalog.Weights() {
		v := weightsView{ID: c.ID, Name: c.Name, License: c.License, Mode: c.Mode, Context: c.ContextTokens, Size: c.SizeBytes}
		if n, ok := size[c.ID]; ok {
			v.Size, v.Installed = n, true
		}
		v.Installed = v.Installed || c.Remote()
		views = append(views, v)
	}
	if asJSON {
		return writeJSON(w, views)
	}
	return table(w, "WEIGHTS\tMODE\tCONTEXT\tSIZE\tLICENCE\tINSTALLED", func(w io.Writer) {
		for _, v := range views {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", v.ID, v.Mode, v.Context, weights.Bytes(v.Size), v.License, yes(v.Installed))
		}
	})
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// find returns the weights that an id or a model id means.
func find(l *Local, id string) (catalog.Weights, error) {
	if w, ok := l.Catalog.WeightsByID(id); ok {
		return w, nil
	}
	if m, err := l.Catalog.Get(id, "us-east-1"); err == nil {
		if w, ok := l.Catalog.WeightsByID(m.Weights); ok {
			return w, nil
		}
	}
	return catalog.Weights{}, fmt.Errorf("no weights or model %q in the catalogue; see: outcrop models list", id)
}

func newModelsPull(std IO, p Program, o *Options) *cobra.Command {
	var accept bool
	cmd := &cobra.Command{
		Use: "pull WEIGHTS", Short: "Install weights; goes on where an earlier pull stopped", Args: exactly("WEIGHTS"),
		Example: "  outcrop models pull smollm2-135m-instruct\n  outcrop models pull gemma-3-270m --accept-terms",
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd.Context(), p, o, func(l *Local) error {
				w, err := find(l, args[0])
				if err != nil {
					return err
				}
				if w.Terms && !l.Weights.Accepted(w.ID, w.LicenseURL) {
					if !accept && !consent(std, w) {
						return fmt.Errorf("%s needs your consent to %s (%s); read it and add --accept-terms", w.ID, w.License, w.LicenseURL)
					}
					if err := l.Weights.Accept(w.ID, w.LicenseURL); err != nil {
						return err
					}
				}
				prog := progressOn(std.Err)
				if err := l.Weights.Pull(cmd.Context(), w, prog); err != nil {
					return err
				}
				_, err = fmt.Fprintf(std.Out, "%s is installed.\n", w.ID)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&accept, "accept-terms", false, "accept the licence terms of the weights")
	return cmd
}

// consent asks a person; anything but yes is no.
func consent(std IO, w catalog.Weights) bool {
	if !isTerminal(std.In) {
		return false
	}
	fmt.Fprintf(std.Out, "%s comes under %s: %s\nDo you accept these terms? [y/N] ", w.Name, w.License, w.LicenseURL)
	answer, err := bufio.NewReader(std.In).ReadString('\n')
	if err != nil {
		return false
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

func newModelsShow(std IO, p Program, o *Options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "Tell everything about a model or weights", Args: exactly("ID"),
		Example: "  outcrop models show anthropic.claude-v2",
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd.Context(), p, o, func(l *Local) error {
				w, err := find(l, args[0])
				if err != nil {
					return err
				}
				d, err := l.Weights.Show(w.ID)
				installed := err == nil
				if err != nil && !errors.Is(err, weights.ErrNotFound) {
					return err
				}
				if asJSON {
					return writeJSON(std.Out, showView(l, w, d, installed))
				}
				return printShow(std.Out, showView(l, w, d, installed))
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// shown is what show tells.
type shown struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Models       []string  `json:"models"` // ids of the API, stand-ins left out
	License      string    `json:"license"`
	LicenseURL   string    `json:"license_url,omitempty"`
	Mode         string    `json:"mode"`
	Context      int       `json:"context_tokens"`
	Dimensions   int       `json:"dimensions,omitempty"`
	Installed    bool      `json:"installed"`
	Upstream     string    `json:"upstream,omitempty"` // the server that runs them
	Origin       string    `json:"origin,omitempty"`
	SHA256       string    `json:"sha256,omitempty"`
	Size         int64     `json:"size_bytes,omitempty"`
	At           time.Time `json:"installed_at,omitzero"`
	Path         string    `json:"path,omitempty"`
	Projector    string    `json:"projector,omitempty"` // path
	Images       bool      `json:"images"`              // the weights see images, once they are installed
	Architecture string    `json:"architecture,omitempty"`
	Template     bool      `json:"chat_template"`
}

func showView(l *Local, w catalog.Weights, d weights.Details, installed bool) shown {
	v := shown{ID: w.ID, Name: w.Name, Models: served(l, w.ID), License: w.License, LicenseURL: w.LicenseURL, Mode: w.Mode, Context: w.ContextTokens, Dimensions: w.Dimensions, Installed: installed, Upstream: strings.Join(w.Source.Servers(), ", "), Images: w.Projector != nil}
	if installed {
		v.Projector, v.Images = d.Projector, d.Projector != ""
		v.Origin, v.SHA256, v.Size, v.At, v.Path = d.Origin, d.SHA256, d.Size, d.Installed, d.Path
		v.Architecture, v.Template = d.Header.Architecture, d.Header.ChatTemplate != ""
	}
	return v
}

func printShow(out io.Writer, v shown) error {
	return table(out, v.ID+"\t"+v.Name, func(w io.Writer) {
		if len(v.Models) > 0 {
			fmt.Fprintf(w, "models\t%s\n", strings.Join(v.Models, ", "))
		}
		fmt.Fprintf(w, "licence\t%s %s\nmode\t%s\ncontext\t%d tokens\n", v.License, v.LicenseURL, v.Mode, v.Context)
		if v.Dimensions > 0 {
			fmt.Fprintf(w, "dimensions\t%d\n", v.Dimensions)
		}
		if v.Upstream != "" {
			fmt.Fprintf(w, "runs on\tupstream %s\n", v.Upstream)
			return
		}
		fmt.Fprintf(w, "images\t%s\n", yes(v.Images))
		if !v.Installed {
			fmt.Fprintf(w, "installed\tno; outcrop models pull %s\n", v.ID)
			return
		}
		fmt.Fprintf(w, "installed\t%s from %s\nfile\t%s (%s)\nsha256\t%s\narchitecture\t%s\nchat template\t%s\n",
			v.At.Local().Format(time.DateTime), v.Origin, v.Path, weights.Bytes(v.Size), v.SHA256, v.Architecture, yes(v.Template))
	})
}

func newModelsRemove(std IO, p Program, o *Options) *cobra.Command {
	return &cobra.Command{
		Use: "rm WEIGHTS", Short: "Remove installed weights", Args: exactly("WEIGHTS"), Example: "  outcrop models rm gemma-3-270m",
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd.Context(), p, o, func(l *Local) error {
				id := args[0]
				if w, err := find(l, id); err == nil {
					id = w.ID
				} else if _, installed := l.Weights.Path(id); !installed { // what is installed may be of a kind that is not served
					return err
				}
				if err := l.Weights.Remove(cmd.Context(), id); err != nil {
					return err
				}
				_, err := fmt.Fprintf(std.Out, "%s is removed.\n", id)
				return err
			})
		},
	}
}

func newModelsImport(std IO, p Program, o *Options) *cobra.Command {
	var id, projector string
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Install a model file of your own", Args: exactly("FILE"),
		Long: `Copies a GGUF file, or a folder or zip with safetensors, into the model store.
It is served as local.ID after the next start of the server; with the id of
weights in the catalogue it takes their place. With the file of a projector
beside it, a chat model sees images.`,
		Example: "  outcrop models import ./my-model.gguf\n  outcrop models import ./my-model.gguf --id my-model --projector ./mmproj.gguf",
		RunE: func(cmd *cobra.Command, args []string) error {
			if id == "" {
				id = fileID(args[0])
			}
			return with(cmd.Context(), p, o, func(l *Local) error {
				prog := progressOn(std.Err)
				if projector != "" {
					if err := l.Weights.ImportProjector(cmd.Context(), id, projector, prog); err != nil {
						return err
					}
				}
				if err := l.Weights.Import(cmd.Context(), id, args[0], prog); err != nil {
					return err
				}
				as := catalog.LocalID(id)
				if ids := served(l, id); len(ids) > 0 {
					as = ids[0]
				}
				_, err := fmt.Fprintf(std.Out, "%s is installed. The next start of the server serves it as %s.\n", id, as)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&id, "id", "", "id of the weights (default: the file's name)")
	cmd.Flags().StringVar(&projector, "projector", "", "GGUF file through which the weights see images")
	return cmd
}

// fileID is the id that a file gets from its name.
func fileID(path string) string {
	base := filepath.Base(path)
	id := []byte(strings.ToLower(strings.TrimSuffix(base, filepath.Ext(base))))
	for i, c := range id {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && (i == 0 || !strings.ContainsRune("._-", rune(c))) {
			id[i] = '-'
		}
	}
	return strings.TrimLeft(string(id), "-")
}

// served are the ids of the API that stand for some weights, stand-ins left out.
func served(l *Local, weightsID string) []string {
	ids := []string{}
	for _, m := range l.Catalog.List(catalog.Filter{}) {
		if m.Weights == weightsID && !m.StandIn {
			ids = append(ids, m.ID)
		}
	}
	return ids
}
