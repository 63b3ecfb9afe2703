// Command gosdk is the matrix row of the AWS SDK for Go v2, this year's and that
// of two years ago: ../../go.mod and ../../old/go.mod name their versions.
//
// Like the scripts beside it, it prints one line of JSON for each of its cases.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go"
)

// What every client of the matrix asks and expects. The harness chooses question
// and answer (matrix_test.go) and passes them in the environment.
var (
	model        = os.Getenv("E2E_MODEL")       // a chat model of Anthropic's family
	embedder     = os.Getenv("E2E_EMBEDDER")    // Titan Text Embeddings V2
	system       = os.Getenv("E2E_SYSTEM")      //
	question     = os.Getenv("E2E_QUESTION")    //
	answer       = os.Getenv("E2E_ANSWER")      // whole reply to question under system at temperature 0
	stop         = os.Getenv("E2E_STOP")        // a part of answer
	beforeStop   = os.Getenv("E2E_BEFORE_STOP") // what stands before stop
	inputTokens  = number("E2E_INPUT_TOKENS")   // of system and question
	outputTokens = number("E2E_OUTPUT_TOKENS")  // of answer
)

const (
	unknown   = "acme.gpt-0" // nobody's model
	badKey    = "AKIAIOSFODNN7EXAMPLE"
	badSecret = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
)

var texts = []string{"A cat sits on the mat.", "A kitten is lying on a rug.", "Quarterly tax returns are due in April."}

func number(name string) int32 {
	n, err := strconv.ParseInt(os.Getenv(name), 10, 32)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", name, err))
	}
	return int32(n)
}

// feature is one cell of the row.
type feature struct {
	name string
	run  func(context.Context) (detail string, err error)
}

func main() {
	pattern := ""
	if len(os.Args) > 1 {
		pattern = os.Args[1]
	}
	out := json.NewEncoder(os.Stdout)
	show := func(line map[string]any) {
		if err := out.Encode(line); err != nil {
			panic(err)
		}
	}
	show(map[string]any{"about": map[string]any{"version": version()}})
	for name, reason := range lacks {
		show(map[string]any{"name": name, "lacks": reason})
	}
	only, done := regexp.MustCompile(pattern), 0
	for _, f := range append(features, modern...) {
		if !only.MatchString(f.name) {
			continue
		}
		done++
		begin := time.Now()
		detail, err := f.run(context.Background())
		line := map[string]any{"name": f.name, "error": "", "detail": detail, "seconds": time.Since(begin).Seconds()}
		if err != nil {
			line["error"] = err.Error()
		}
		show(line)
	}
	show(map[string]any{"done": done})
}

// version of the runtime client that this program was built with.
func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if strings.HasSuffix(m.Path, "/service/bedrockruntime") {
			return strings.TrimPrefix(m.Version, "v")
		}
	}
	return "unknown"
}

func equal[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %v, want %v", what, got, want)
	}
	return nil
}

// replied checks a whole reply.
func replied(text, reason, wantText, wantReason string) error {
	return errors.Join(equal("text", text, wantText), equal("stop reason", reason, wantReason))
}

// streamed checks that answer came in pieces as the model made it.
func streamed(parts []string) (string, error) {
	if len(parts) < 4 {
		return "", fmt.Errorf("only %d parts", len(parts))
	}
	return fmt.Sprintf("%d parts", len(parts)), equal("text", strings.Join(parts, ""), answer)
}

// counted checks the token counts of question and answer.
func counted(in, out int32) (string, error) {
	return fmt.Sprintf("%d + %d", in, out), errors.Join(equal("input tokens", in, inputTokens), equal("output tokens", out, outputTokens))
}

// similar checks the vectors of texts.
func similar(vectors [][]float64) (string, error) {
	cosine := func(a, b []float64) float64 {
		var dot, aa, bb float64
		for i := range min(len(a), len(b)) {
			dot, aa, bb = dot+a[i]*b[i], aa+a[i]*a[i], bb+b[i]*b[i]
		}
		return dot / math.Sqrt(aa*bb)
	}
	for _, v := range vectors {
		if len(v) != 1024 {
			return "", fmt.Errorf("%d dimensions", len(v))
		}
	}
	near, far := cosine(vectors[0], vectors[1]), cosine(vectors[0], vectors[2])
	if !(near > far+0.2) {
		return "", fmt.Errorf("near %v, far %v", near, far)
	}
	return fmt.Sprintf("near %.2f, far %.2f", near, far), nil
}

// fails checks that err is an API error of this class E with all words.
func fails[E error](err error, words ...string) (string, error) {
	var class E
	if !errors.As(err, &class) {
		return "", fmt.Errorf("%w is not a %T", err, class)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			return "", fmt.Errorf("%q is not in %w", w, err)
		}
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return "", fmt.Errorf("%w has no code", err)
	}
	return api.ErrorCode(), nil
}
