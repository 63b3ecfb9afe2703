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
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/wire/eventstream"
)

// maxCompared is how many models are compared at once. More have no room side by
// side.
const maxCompared = 8

// redrawEvery is how often answers are drawn while they come.
const redrawEvery = 50 * time.Millisecond

func newCompare(std IO, p Program, o *Options) *cobra.Command {
	var models []string
	var system string
	var maxTokens int
	var temperature float64
	var asJSON bool
	cmd := &cobra.Command{
		Use: "compare --models A,B,... PROMPT", Short: "Ask several models the same and compare their answers", Args: exactly("PROMPT"),
		Long: `Sends one prompt to several models at once, over ConverseStream of a running server
and with your credentials. In a terminal the answers stream side by side; elsewhere
they come one after the other, each line with its model in front. A table follows:
time to the first token, time in all, tokens, tokens per second from the first one
on, and what the tokens cost by the catalogue's prices.`,
		Example: `  outcrop compare --models anthropic.claude-3-haiku-20240307-v1:0,amazon.nova-lite-v1:0 "Name three rocks."
  outcrop compare --models amazon.nova-micro-v1:0,amazon.nova-pro-v1:0 --max-tokens 50 --json "What is basalt?"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(models) == 0 || len(models) > maxCompared:
				return &usageError{fmt.Errorf("--models: want 1 to %d models, got %d", maxCompared, len(models))}
			case maxTokens < 0:
				return &usageError{errors.New("--max-tokens must not be negative")}
			}
			body := compareBody{Messages: []turn{{Role: "user", Content: []textBlock{{args[0]}}}}}
			if system != "" {
				body.System = []textBlock{{system}}
			}
			body.InferenceConfig.MaxTokens = maxTokens
			if cmd.Flags().Changed("temperature") {
				body.InferenceConfig.Temperature = &temperature
			}
			return with(cmd.Context(), p, o, func(l *Local) error {
				c, err := newAPIClient(cmd.Context(), std, l)
				if err != nil {
					return err
				}
				all := make([]*contender, len(models))
				for i, m := range models {
					all[i] = &contender{Model: m, price: priceOf(cmd.Context(), l, m, c.region)}
				}
				return compare(cmd.Context(), std, c, &body, all, asJSON)
			})
		},
	}
	cmd.Flags().StringSliceVar(&models, "models", nil, "models to ask, with commas between them (required)")
	cmd.Flags().StringVar(&system, "system", "", "system prompt")
	cmd.Flags().IntVar(&maxTokens, "max-tokens", 0, "longest answer in tokens (default: the models' own)")
	cmd.Flags().Float64Var(&temperature, "temperature", 0, "how freely the models choose (default: the models' own)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// priceOf is what the catalogue says; nil when it says nothing.
func priceOf(ctx context.Context, l *Local, model, region string) *catalog.Price {
	t, err := l.Catalog.Resolve(ctx, model, region, l.Account)
	if err != nil || t.Model.Price == (catalog.Price{}) {
		return nil
	}
	return &t.Model.Price
}

type compareBody struct {
	Messages        []turn      `json:"messages"`
	System          []textBlock `json:"system,omitempty"`
	InferenceConfig struct {
		MaxTokens   int      `json:"maxTokens,omitempty"`
		Temperature *float64 `json:"temperature,omitempty"`
	} `json:"inferenceConfig"`
}

// contender is one model and its answer.
type contender struct {
	Model        string `json:"model"`
	ServedBy     string `json:"served_by,omitempty"` // weights; "; stand-in" behind others than the model's own
	Text         string `json:"text"`
	StopReason   string `json:"stop_reason,omitempty"`
	InputTokens  int    `json:"input_tokens"`
	OutputTokens int    `json:"output_tokens"`
	// FirstTokenMS and TotalMS are milliseconds from sending the request, as this
	// command sees them.
	FirstTokenMS    float64  `json:"first_token_ms"`
	TotalMS         float64  `json:"total_ms"`
	TokensPerSecond float64  `json:"tokens_per_second"` // from the first token on; 0 when there were fewer than two
	CostUSD         *float64 `json:"cost_usd"`          // null without a price
	Error           string   `json:"error,omitempty"`

	price *catalog.Price
}

// board is what all answers are written on while they come. It is safe for
// concurrent use.
type board struct {
	mu      sync.Mutex
	texts   []strings.Builder
	done    []bool
	changed chan struct{} // buffered 1
}

func newBoard(n int) *board {
	return &board{texts: make([]strings.Builder, n), done: make([]bool, n), changed: make(chan struct{}, 1)}
}

func (b *board) add(i int, text string, done bool) {
	b.mu.Lock()
	_, _ = b.texts[i].WriteString(text) // never fails
	b.done[i] = b.done[i] || done
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// look returns the texts so far and how many answers from the first on are whole.
func (b *board) look() (texts []string, whole int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.texts {
		texts = append(texts, b.texts[i].String())
	}
	for whole < len(b.done) && b.done[whole] {
		whole++
	}
	return texts, whole
}

// compare asks all models and shows what they say.
func compare(ctx context.Context, std IO, c *apiClient, body *compareBody, all []*contender, asJSON bool) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode the conversation: %w", err)
	}
	shared := newBoard(len(all))
	for i, m := range all {
		go func() {
			begin := time.Now()
			if err := m.ask(ctx, c, b, begin, func(text string) { shared.add(i, text, false) }); err != nil {
				m.Error = err.Error()
			}
			m.settle(time.Since(begin))
			shared.add(i, "", true)
		}()
	}
	var v view = &labelled{out: std.Out, all: all}
	if asJSON {
		v = silent{}
	} else if f, ok := std.Out.(*os.File); ok && isTerminal(f) {
		if width, height, err := term.GetSize(int(f.Fd())); err == nil && width/len(all) >= leastColumn {
			v = &columns{out: std.Out, all: all, width: width, height: height}
		}
	}
	pace := time.NewTicker(redrawEvery)
	defer pace.Stop()
	for whole := 0; whole < len(all); {
		<-shared.changed // every answer ends, if only with ctx
		<-pace.C
		var texts []string
		texts, whole = shared.look()
		v.show(texts, whole)
	}
	if ctx.Err() != nil { // Ctrl-C
		return errSilent
	}
	if asJSON {
		err = writeJSON(std.Out, all)
	} else {
		err = writeComparison(std.Out, all)
	}
	for _, m := range all {
		if m.Error != "" && err == nil {
			return errSilent
		}
	}
	return err
}

// ask streams one answer. tell gets each piece of its text.
func (m *contender) ask(ctx context.Context, c *apiClient, body []byte, begin time.Time, tell func(string)) error {
	resp, err := c.open(ctx, "bedrock", http.MethodPost, "/model/"+url.PathEscape(m.Model)+"/converse-stream", "application/json", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	m.ServedBy = resp.Header.Get("x-outcrop-served-by")
	var text strings.Builder
	defer func() { m.Text = text.String() }()
	frames := eventstream.NewReader(resp.Body)
	for {
		f, err := frames.Next()
		if errors.Is(err, io.EOF) {
			if m.StopReason == "" {
				return errors.New("the answer broke off")
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("the answer was cut: %w", err)
		}
		if name := f.Text(eventstream.HeaderExceptionType); name != "" {
			return fmt.Errorf("%s: %s", name, message(f.Payload))
		}
		if code := f.Text(eventstream.HeaderErrorCode); code != "" {
			return fmt.Errorf("%s: %s", code, f.Text(eventstream.HeaderErrorMessage))
		}
		var ev struct {
			Delta      textBlock `json:"delta"`
			StopReason string    `json:"stopReason"`
			Usage      struct {
				InputTokens  int `json:"inputTokens"`
				OutputTokens int `json:"outputTokens"`
			} `json:"usage"`
		}
		if err := json.Unmarshal(f.Payload, &ev); err != nil {
			return fmt.Errorf("the server sent an event that is not JSON: %w", err)
		}
		switch f.Text(eventstream.HeaderEventType) {
		case "contentBlockDelta":
			if m.FirstTokenMS == 0 {
				m.FirstTokenMS = milliseconds(time.Since(begin))
			}
			text.WriteString(ev.Delta.Text)
			tell(ev.Delta.Text)
		case "messageStop":
			m.StopReason = ev.StopReason
		case "metadata":
			m.InputTokens, m.OutputTokens = ev.Usage.InputTokens, ev.Usage.OutputTokens
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// settle works out what follows from an answer.
func (m *contender) settle(took time.Duration) {
	m.TotalMS = milliseconds(took)
	if rest := m.TotalMS - m.FirstTokenMS; m.OutputTokens > 1 && m.FirstTokenMS > 0 && rest > 0 {
		m.TokensPerSecond = float64(m.OutputTokens-1) / rest * 1000
	}
	if m.price != nil && m.InputTokens+m.OutputTokens > 0 {
		m.CostUSD = new((float64(m.InputTokens)*m.price.Input + float64(m.OutputTokens)*m.price.Output) / 1e6)
	}
}

// writeComparison writes the table below the answers, at most 100 columns wide.
func writeComparison(out io.Writer, all []*contender) error {
	if _, err := io.WriteString(out, "\n"); err != nil {
		return err
	}
	err := table(out, "MODEL\tFIRST TOKEN\tTOTAL\tTOKENS IN/OUT\tTOKENS/S\tCOST $", func(w io.Writer) {
		for _, m := range all {
			first, speed, cost := "-", "-", "-"
			if m.FirstTokenMS > 0 {
				first = fmt.Sprintf("%.0f ms", m.FirstTokenMS)
			}
			if m.TokensPerSecond > 0 {
				speed = fmt.Sprintf("%.1f", m.TokensPerSecond)
			}
			if m.CostUSD != nil {
				cost = fmt.Sprintf("%.6f", *m.CostUSD)
			}
			fmt.Fprintf(w, "%s\t%s\t%.0f ms\t%d/%d\t%s\t%s\n", printable(short(m.Model, 40)), first, m.TotalMS, m.InputTokens, m.OutputTokens, speed, cost)
		}
	})
	for _, m := range all {
		if by, standIn := strings.CutSuffix(m.ServedBy, "; stand-in"); standIn && err == nil {
			_, err = fmt.Fprintf(out, "%s is a stand-in: %s answered.\n", printable(m.Model), printable(by))
		}
	}
	for _, m := range all {
		if m.Error != "" && err == nil {
			_, err = fmt.Fprintf(out, "%s failed: %s\n", printable(m.Model), printable(m.Error))
		}
	}
	return err
}
