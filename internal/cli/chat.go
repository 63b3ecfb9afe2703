package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/arn"
	"github.com/outcrop/outcrop/internal/wire/eventstream"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

func newChat(std IO, p Program, o *Options) *cobra.Command {
	var system, region string
	var maxTokens int
	cmd := &cobra.Command{
		Use:   "chat MODEL",
		Short: "Talk with a model in the terminal, through the server's own API",
		Long: `Talks with a model of a running server over ConverseStream. An empty line or
end of input (Ctrl-D) ends the talk, and so does Ctrl-C, at once.`,
		Example: "  outcrop chat anthropic.claude-3-haiku-20240307-v1:0\n  echo 'What is a lava outcrop?' | outcrop chat huggingface.smollm2-135m-instruct-v1:0",
		Args:    exactly("MODEL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if region != "" && !arn.ValidRegion(region) {
				return &usageError{fmt.Errorf("--region %q is not the name of an AWS region, e.g. us-east-1", region)}
			}
			if maxTokens < 0 {
				return &usageError{errors.New("--max-tokens must not be negative")}
			}
			return with(cmd.Context(), p, o, func(l *Local) error {
				c, err := ownKey(cmd.Context(), l)
				if err != nil {
					return err
				}
				c.Region = cmp.Or(region, l.Region)
				client, err := httpClient(l.CAFile)
				if err != nil {
					return err
				}
				t := &talk{std: std, terminal: isTerminal(std.Out), client: client, endpoint: l.Endpoint, cred: c, model: args[0], maxTokens: maxTokens}
				if system != "" {
					t.system = []textBlock{{system}}
				}
				return t.run(cmd.Context())
			})
		},
	}
	cmd.Flags().StringVar(&system, "system", "", "system prompt")
	cmd.Flags().StringVar(&region, "region", "", "AWS region to use (default: the first one that is configured, else us-east-1)")
	cmd.Flags().IntVar(&maxTokens, "max-tokens", 0, "longest reply in tokens (default: the model's)")
	return cmd
}

// httpClient trusts the server's own authority when it has one.
func httpClient(ca string) (*http.Client, error) {
	t := &http.Transport{}
	if ca != "" {
		pem, err := os.ReadFile(ca) // #nosec G304 -- the authority file of our own configuration
		if err != nil {
			return nil, fmt.Errorf("read the certificate authority: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", ca)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: t}, nil
}

type textBlock struct {
	Text string `json:"text"`
}

type turn struct {
	Role    string      `json:"role"`
	Content []textBlock `json:"content"`
}

type converseBody struct {
	Messages        []turn           `json:"messages"`
	System          []textBlock      `json:"system,omitempty"`
	InferenceConfig *inferenceConfig `json:"inferenceConfig,omitempty"`
}

type inferenceConfig struct {
	MaxTokens int `json:"maxTokens"`
}

// talk is one conversation in the terminal.
type talk struct {
	std       IO
	terminal  bool // Out is a terminal, which must not get control characters
	client    *http.Client
	endpoint  string
	cred      Credentials
	model     string
	maxTokens int
	system    []textBlock
	turns     []turn
}

func (t *talk) run(ctx context.Context) error {
	person := isTerminal(t.std.In)
	in := lines(ctx, t.std.In)
	for {
		if person {
			fmt.Fprint(t.std.Out, "> ")
		}
		var words line
		select {
		case words = <-in:
		case <-ctx.Done(): // Ctrl-C
			fmt.Fprintln(t.std.Out)
			return nil
		}
		if words.err != nil {
			return fmt.Errorf("read your words: %w", words.err)
		}
		if strings.TrimSpace(words.text) == "" {
			return nil
		}
		t.turns = append(t.turns, turn{Role: "user", Content: []textBlock{{words.text}}})
		reply, err := t.ask(ctx)
		fmt.Fprintln(t.std.Out)
		if ctx.Err() != nil {
			return errSilent
		}
		if err != nil {
			return err
		}
		t.turns = append(t.turns, turn{Role: "assistant", Content: []textBlock{{reply}}})
	}
}

// line is one line of input; the empty text without an error is its end.
type line struct {
	text string
	err  error
}

// lines reads beside the talk, because a read from a terminal cannot be broken
// off. The goroutine ends with the input, or with the process.
func lines(ctx context.Context, r io.Reader) <-chan line {
	out := make(chan line)
	go func() {
		in := bufio.NewScanner(r)
		in.Buffer(nil, 1<<20)
		for {
			var l line
			if in.Scan() {
				l.text = in.Text()
			} else {
				l.err = in.Err()
			}
			select {
			case out <- l:
			case <-ctx.Done():
				return
			}
			if l.text == "" {
				return
			}
		}
	}()
	return out
}

// ask sends the conversation and prints the reply as it is made.
func (t *talk) ask(ctx context.Context) (string, error) {
	body := converseBody{Messages: t.turns, System: t.system}
	if t.maxTokens > 0 {
		body.InferenceConfig = &inferenceConfig{t.maxTokens}
	}
	b, err := json.Marshal(body)
	if err != nil {
		return "", fmt.Errorf("encode the conversation: %w", err)
	}
	target := t.endpoint + "/model/" + url.PathEscape(t.model) + "/converse-stream"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(b))
	if err != nil {
		return "", fmt.Errorf("address the server: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	creds := sigv4.Credentials{AccessKeyID: t.cred.AccessKeyID, Secret: secret.NewString(t.cred.Secret)}
	if err := sigv4.Sign(r, b, creds, t.cred.Region, "bedrock", time.Now()); err != nil {
		return "", fmt.Errorf("sign the request: %w", err)
	}
	resp, err := t.client.Do(r)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return "", fmt.Errorf("no server answers on %s; start one with: outcrop serve (%w)", t.endpoint, op)
	}
	if err != nil {
		return "", fmt.Errorf("talk to the server: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", serverError(resp)
	}
	return t.print(resp.Body)
}

func (t *talk) print(r io.Reader) (string, error) {
	var reply strings.Builder
	frames := eventstream.NewReader(r)
	for {
		f, err := frames.Next()
		if errors.Is(err, io.EOF) {
			return reply.String(), nil
		}
		if err != nil {
			return "", fmt.Errorf("the reply was cut: %w", err)
		}
		if name := f.Text(eventstream.HeaderExceptionType); name != "" {
			return "", fmt.Errorf("%s: %s", name, message(f.Payload))
		}
		if code := f.Text(eventstream.HeaderErrorCode); code != "" {
			return "", fmt.Errorf("%s: %s", code, f.Text(eventstream.HeaderErrorMessage))
		}
		if f.Text(eventstream.HeaderEventType) != "contentBlockDelta" {
			continue
		}
		var ev struct {
			Delta textBlock `json:"delta"`
		}
		if err := json.Unmarshal(f.Payload, &ev); err != nil {
			return "", fmt.Errorf("the server sent an event that is not JSON: %w", err)
		}
		reply.WriteString(ev.Delta.Text)
		shown := ev.Delta.Text
		if t.terminal {
			shown = printable(shown)
		}
		fmt.Fprint(t.std.Out, shown)
	}
}

// printable takes out what could steer a terminal: a model says what it likes,
// and an escape sequence can do more than show text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
}

// serverError is what the server said, in its own words.
func serverError(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	name := resp.Header.Get("x-amzn-ErrorType")
	if name == "" {
		name = resp.Status
	}
	return fmt.Errorf("%s: %s", name, message(b))
}

func message(b []byte) string {
	var m struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(b, &m) != nil || m.Message == "" {
		return "the server gave no reason"
	}
	return m.Message
}
