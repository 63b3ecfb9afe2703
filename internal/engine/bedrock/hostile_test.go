package bedrock_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/engine/bedrock"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// outcome runs one request and returns its text and its error.
func outcome(t *testing.T, e *bedrock.Engine, r *llm.Request) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	resp, err := llm.Collect(e.Generate(ctx, target, r))
	return resp.Text(), err
}

// TestErrors: what the upstream refuses with becomes an error that a caller can use,
// and says nothing of the account there.
func TestErrors(t *testing.T) {
	t.Parallel()
	const leak = "quotes the prompt of arn:aws:iam::123456789012:role/x"
	for name, c := range map[string]struct {
		status        int
		code, message string
		want          string
		has           string
	}{
		"throttled":            {429, "ThrottlingException", leak, apierr.CodeThrottling, ""},
		"over the quota there": {400, "ServiceQuotaExceededException", leak, apierr.CodeThrottling, ""},
		"not ready":            {429, "ModelNotReadyException", leak, apierr.CodeModelNotReady, ""},
		"unavailable":          {503, "ServiceUnavailableException", leak, apierr.CodeModelNotReady, ""},
		"too slow":             {408, "ModelTimeoutException", leak, apierr.CodeModelTimeout, ""},
		"failed":               {424, "ModelErrorException", leak, apierr.CodeModelError, ""},
		"broken":               {500, "InternalServerException", leak, apierr.CodeModelError, ""},
		"denied":               {403, "AccessDeniedException", leak, apierr.CodeModelError, ""},
		"unknown key":          {403, "UnrecognizedClientException", leak, apierr.CodeModelError, ""},
		"expired":              {403, "ExpiredTokenException", leak, apierr.CodeModelError, ""},
		"no such model":        {404, "ResourceNotFoundException", leak, apierr.CodeModelError, ""},
		"too long":             {400, "ValidationException", "Input is too long for requested model. " + leak, apierr.CodeValidation, "too long"},
		"no tools":             {400, "ValidationException", "This model doesn't support tool use. " + leak, apierr.CodeValidation, "toolConfig"},
		"no system":            {400, "ValidationException", "This model doesn't support system messages.", apierr.CodeValidation, "system"},
		"invalid":              {400, "ValidationException", leak, apierr.CodeValidation, "refused the request as invalid"},
		"a proxy's page":       {502, "", "<html>", apierr.CodeModelNotReady, ""},
		"moved":                {302, "", "", apierr.CodeModelError, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, func(w http.ResponseWriter, _ *http.Request, _ asked) {
				w.Header().Set("Retry-After", "11")
				refuse(w, c.status, c.code, c.message)
			})
			e, log := over(t, f.URL, nil)
			_, err := outcome(t, e, enginetest.Ask("quotes the prompt", 4))
			enginetest.WantCode(t, err, c.want)
			ae := apierr.From(err)
			if strings.Contains(ae.Message, "123456789012") || strings.Contains(ae.Message, "quotes") || !strings.Contains(ae.Message, c.has) {
				t.Errorf("message %q", ae.Message)
			}
			if retry := ae.Code == apierr.CodeThrottling; retry && ae.RetryAfter != 11*time.Second {
				t.Errorf("retry after %s", ae.RetryAfter)
			}
			if c.status == 403 && (ae.OriginalStatus != 403 || !strings.Contains(log.String(), c.code)) {
				t.Errorf("original status %d, log %s", ae.OriginalStatus, log)
			}
		})
	}
}

// TestBrokenStreams: a stream that breaks, or is none, ends as an error of the model.
func TestBrokenStreams(t *testing.T) {
	t.Parallel()
	torn := append([]byte(nil), textFrame("hello")...)
	torn[len(torn)-1] ^= 1
	for name, c := range map[string]struct {
		frames [][]byte
		want   string
	}{
		"no events":         {nil, apierr.CodeModelError},
		"text":              {[][]byte{[]byte("<html>this is no stream of events</html>")}, apierr.CodeModelError},
		"only a start":      {[][]byte{startFrame}, apierr.CodeModelError},
		"cut":               {[][]byte{startFrame, textFrame("a"), textFrame("b")[:20]}, apierr.CodeModelStreamError},
		"without usage":     {[][]byte{startFrame, textFrame("a"), stopFrame}, apierr.CodeModelStreamError},
		"empty usage":       {[][]byte{startFrame, textFrame("a"), stopFrame, frame("metadata", `{}`)}, apierr.CodeModelStreamError},
		"usage below zero":  {[][]byte{startFrame, textFrame("a"), stopFrame, frame("metadata", `{"usage":{"inputTokens":9,"outputTokens":-1}}`)}, apierr.CodeModelStreamError},
		"without a stop":    {[][]byte{startFrame, textFrame("a"), usageFrame}, apierr.CodeModelStreamError},
		"wrong checksum":    {[][]byte{startFrame, textFrame("a"), torn}, apierr.CodeModelStreamError},
		"no JSON":           {[][]byte{startFrame, textFrame("a"), frame("contentBlockDelta", `{`)}, apierr.CodeModelStreamError},
		"input, no call":    {[][]byte{startFrame, textFrame("a"), frame("contentBlockDelta", `{"delta":{"toolUse":{"input":"{}"}}}`)}, apierr.CodeModelStreamError},
		"two starts":        {[][]byte{startFrame, textFrame("a"), startFrame}, apierr.CodeModelStreamError},
		"exception at once": {[][]byte{exception("throttlingException", "quotes the prompt")}, apierr.CodeThrottling},
		"exception later":   {[][]byte{startFrame, textFrame("a"), exception("modelStreamErrorException", "quotes the prompt")}, apierr.CodeModelStreamError},
		"a huge frame":      {[][]byte{startFrame, textFrame(strings.Repeat("x", 2<<20))}, apierr.CodeModelError},
		"too many events":   {[][]byte{startFrame, bytes.Repeat(textFrame("x"), 6000)}, apierr.CodeModelStreamError},
		"too much text":     {[][]byte{startFrame, bytes.Repeat(textFrame(strings.Repeat("x", 100<<10)), 20)}, apierr.CodeModelStreamError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, func(w http.ResponseWriter, _ *http.Request, _ asked) { stream(w, c.frames...) })
			e, _ := over(t, f.URL, nil)
			_, err := outcome(t, e, enginetest.Ask("quotes the prompt", 4))
			enginetest.WantCode(t, err, c.want)
			if strings.Contains(apierr.From(err).Message, "quotes") {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestSilence: an upstream that says nothing more is given up, and one that cannot
// be reached is not ready.
func TestSilence(t *testing.T) {
	t.Parallel()
	f := startFake(t, func(w http.ResponseWriter, r *http.Request, _ asked) {
		stream(w, startFrame, textFrame("a"))
		<-r.Context().Done()
	})
	e, _ := over(t, f.URL, func(u *bedrock.Upstream) { u.Idle = 50 * time.Millisecond })
	text, err := outcome(t, e, enginetest.Ask("hi", 4))
	enginetest.WantCode(t, err, apierr.CodeModelTimeout)
	if text != "a" {
		t.Errorf("text %q", text)
	}
	gone := startFake(t, nil)
	gone.Close()
	e, _ = over(t, gone.URL, nil)
	_, err = outcome(t, e, enginetest.Ask("hi", 4))
	enginetest.WantCode(t, err, apierr.CodeModelNotReady)
	if err := e.Probe(t.Context(), target); apierr.From(err).Code != apierr.CodeModelNotReady {
		t.Errorf("probe: %v", err)
	}
}

// broken are credentials that cannot be had.
type broken struct{}

// Credentials implements bedrock.Credentials.
func (broken) Credentials() (bedrock.Keys, error) {
	return bedrock.Keys{}, errors.New("the file is gone")
}

func TestNoCredentials(t *testing.T) {
	t.Parallel()
	f := startFake(t, func(w http.ResponseWriter, _ *http.Request, _ asked) { stream(w) })
	e, log := over(t, f.URL, func(u *bedrock.Upstream) { u.Credentials = broken{} })
	_, err := outcome(t, e, enginetest.Ask("hi", 4))
	enginetest.WantCode(t, err, apierr.CodeModelError)
	if len(f.all()) != 0 || !strings.Contains(log.String(), "no credentials") {
		t.Errorf("%d requests, log %s", len(f.all()), log)
	}
}
