package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// process is a model's process as the API tells it.
type process struct {
	WeightsID           string    `json:"weightsId"`
	Mode                string    `json:"mode"`
	State               string    `json:"state"`
	Progress            float64   `json:"progress,omitempty"`
	Since               time.Time `json:"since"`
	ProcessID           int       `json:"processId,omitempty"`
	MemoryEstimateBytes int64     `json:"memoryEstimateBytes,omitempty"`
	MemoryBytes         int64     `json:"memoryBytes,omitempty"`
	Slots               int       `json:"slots"`
	BusySlots           int       `json:"busySlots"`
	QueueLength         int       `json:"queueLength"`
	Restarts            int       `json:"restarts"`
	Replica             int       `json:"replica"`
	Pinned              bool      `json:"pinned"`
	SafeMode            bool      `json:"safeMode"`
	Build               string    `json:"build,omitempty"`
	Failure             string    `json:"failure,omitempty"`
}

func newPs(std IO, p Program, o *Options) *cobra.Command {
	var asJSON, watch bool
	var every time.Duration
	cmd := &cobra.Command{
		Use: "ps", Short: "Show how the processes of models stand", Args: exactly(),
		Long: `Shows each process of a model that was asked for since the server started: its
state (cold, loading, ready, sleeping, draining, stopped, failed) and for how long,
the memory that it takes of what was estimated, slots in use of all, requests in
the queue, and starts after the first. What is pinned stays loaded. Several
processes of the same weights have numbers. Only the management account may see it.`,
		Example: "  outcrop ps\n  outcrop ps --watch\n  outcrop ps --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every < 100*time.Millisecond {
				return &usageError{errors.New("--interval: want 100ms or more")}
			}
			return withAPI(cmd.Context(), std, p, o, func(c *apiClient) error {
				if !watch {
					return showProcesses(cmd.Context(), std.Out, c, asJSON)
				}
				tick := time.NewTicker(every)
				defer tick.Stop()
				return watching(cmd.Context(), std.Out, isTerminal(std.Out), tick.C, func(ctx context.Context, w io.Writer) error {
					return showProcesses(ctx, w, c, asJSON)
				})
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&watch, "watch", false, "show it again and again until Ctrl-C")
	cmd.Flags().DurationVar(&every, "interval", time.Second, "with --watch: time between two looks")
	return cmd
}

func showProcesses(ctx context.Context, w io.Writer, c *apiClient, asJSON bool) error {
	var v struct {
		Processes []process `json:"processes"`
	}
	if err := c.call(ctx, http.MethodGet, "/outcrop/model-processes", nil, &v); err != nil {
		return err
	}
	if asJSON {
		return writeJSON(w, v.Processes)
	}
	return writeProcesses(w, v.Processes, time.Now())
}

// watching shows something now and at every tick until ctx ends. In a terminal it
// takes the place of what was there, elsewhere an empty line stands between.
func watching(ctx context.Context, out io.Writer, terminal bool, tick <-chan time.Time, show func(context.Context, io.Writer) error) error {
	for first := true; ; first = false {
		var b bytes.Buffer
		switch {
		case terminal:
			b.WriteString("\x1b[H\x1b[2J") // home, clear
		case !first:
			b.WriteByte('\n')
		}
		err := show(ctx, &b)
		if ctx.Err() != nil { // Ctrl-C
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := out.Write(b.Bytes()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		}
	}
}

// psWidth is how wide the table of processes may be.
const psWidth = 100

// writeProcesses writes a table of at most psWidth columns. Ids of weights give way.
func writeProcesses(out io.Writer, all []process, now time.Time) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "No model was asked for since the server started.")
		return err
	}
	count := map[[2]string]int{} // processes of the same weights and mode
	for i := range all {
		count[[2]string{all[i].WeightsID, all[i].Mode}]++
	}
	rows := [][]string{{"WEIGHTS", "MODE", "STATE", "SINCE", "MEMORY/EST", "SLOTS", "QUEUE", "RESTARTS"}}
	for i := range all {
		p := &all[i]
		state := strings.ToLower(p.State)
		if p.State == "LOADING" {
			state += fmt.Sprintf(" %.0f%%", 100*p.Progress)
		}
		if p.Pinned {
			state += ", pinned"
		}
		mode := p.Mode
		if count[[2]string{p.WeightsID, p.Mode}] > 1 {
			mode += fmt.Sprintf(" #%d", p.Replica)
		}
		rows = append(rows, []string{
			printable(p.WeightsID), mode, state, age(now.Sub(p.Since)), brief(p.MemoryBytes) + "/" + brief(p.MemoryEstimateBytes),
			fmt.Sprintf("%d/%d", p.BusySlots, p.Slots), fmt.Sprint(p.QueueLength), fmt.Sprint(p.Restarts),
		})
	}
	const gap = 2
	room := psWidth
	for column := 1; column < len(rows[0]); column++ {
		widest := 0
		for _, r := range rows {
			widest = max(widest, len(r[column]))
		}
		room -= widest + gap
	}
	err := table(out, strings.Join(rows[0], "\t"), func(w io.Writer) {
		for _, r := range rows[1:] {
			r[0] = short(r[0], room)
			fmt.Fprintln(w, strings.Join(r, "\t"))
		}
	})
	if err != nil {
		return err
	}
	for i := range all {
		if p := &all[i]; p.Failure != "" {
			if _, err := fmt.Fprintf(out, "%s (%s) failed last: %s\n", printable(p.WeightsID), p.Mode, printable(p.Failure)); err != nil {
				return err
			}
		}
	}
	return nil
}

// brief writes bytes in a few letters; "-" for 0, which is unknown.
func brief(n int64) string {
	switch {
	case n <= 0:
		return "-"
	case n >= 10<<30:
		return fmt.Sprintf("%dG", n>>30)
	case n >= 1<<30:
		return fmt.Sprintf("%.1fG", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%dM", (n+1<<20-1)>>20)
}
