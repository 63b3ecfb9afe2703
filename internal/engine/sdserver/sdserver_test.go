package sdserver_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/sdserver"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var target = engine.Target{Weights: "w", Mode: engine.Image, Scope: "111122223333"}

// over makes an engine over a server. change may be nil.
func over(t *testing.T, h http.Handler, change func(*sdserver.Upstream)) *sdserver.Engine {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	u := sdserver.Upstream{URL: s.URL, Kind: sdserver.OpenAIImages, Transport: transport}
	if change != nil {
		change(&u)
	}
	e, err := sdserver.New(sdserver.Config{Upstreams: map[string]sdserver.Upstream{"w": u}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func pngOf(t *testing.T, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// answers is one answer of a server of OpenAI's API, which keeps what it was asked.
type answers struct {
	t    *testing.T
	body string
	deny string // refuses bodies with this text

	mu    sync.Mutex
	asked []string
}

// ServeHTTP implements http.Handler.
func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	a.mu.Lock()
	a.asked = append(a.asked, r.URL.Path+" "+string(raw))
	a.mu.Unlock()
	if a.deny != "" && strings.Contains(string(raw), a.deny) {
		http.Error(w, `{"error":{"message":"unknown parameter"}}`, http.StatusBadRequest)
		return
	}
	fmt.Fprint(w, a.body)
}

func (a *answers) last() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[len(a.asked)-1]
}

func newAnswers(t *testing.T, n int) *answers {
	t.Helper()
	data := base64.StdEncoding.EncodeToString(pngOf(t, image.NewGray(image.Rect(0, 0, 64, 64))))
	one := `{"b64_json":"data:image/png;base64,` + data + `"}`
	return &answers{t: t, body: `{"data":[` + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + `]}`}
}

func ask(count int) *llm.PictureRequest {
	return &llm.PictureRequest{Task: llm.TextToImage, Prompt: "a rock", Width: 512, Height: 512, Count: count, Format: "png", Seed: new(int64(9))}
}

// TestOpenAI: what goes out, and seeds that are told by number.
func TestOpenAI(t *testing.T) {
	t.Parallel()
	a := newAnswers(t, 2)
	e := over(t, a, func(u *sdserver.Upstream) { u.Model = "m" })
	r := ask(2)
	r.Negative, r.Style, r.Steps = "people", "PIXEL_ART", 30
	resp, err := e.Picture(t.Context(), target, r)
	if err != nil || len(resp.Images) != 2 || resp.Seeds[0] != 9 || resp.Seeds[1] != 10 {
		t.Fatalf("%+v, %v", resp, err)
	}
	if want := `/v1/images/generations {"model":"m","n":2,"prompt":"a rock, pixel art style. Leave out: people","response_format":"b64_json","size":"512x512"}`; a.last() != want {
		t.Errorf("asked %s, want %s", a.last(), want)
	}
	r = ask(2)
	r.Task, r.Colors = llm.ColorGuided, []string{"#ff0000", "#00ff00"}
	if _, err := e.Picture(t.Context(), target, r); err != nil || !strings.Contains(a.last(), "in the colours #ff0000, #00ff00") {
		t.Errorf("colours: %v, %s", err, a.last())
	}
	m := llm.Media{Data: pngOf(t, image.NewGray(image.Rect(0, 0, 64, 64)))}
	r = ask(2)
	r.Task, r.Images = llm.Variation, []llm.Media{m, m}
	if _, err := e.Picture(t.Context(), target, r); err != nil || strings.Count(a.last(), `name="image[]"`) != 2 {
		t.Errorf("two pictures: %v", err)
	}
}

// TestModelsOfOpenAI: its own models take no response_format, and cut out
// backgrounds; a server that takes none either is asked again without.
func TestModelsOfOpenAI(t *testing.T) {
	t.Parallel()
	a := newAnswers(t, 1)
	a.deny = "response_format"
	e := over(t, a, func(u *sdserver.Upstream) { u.Model = "gpt-image-1" })
	r := ask(1)
	r.Task, r.Images, r.Prompt = llm.RemoveBackground, []llm.Media{{Data: pngOf(t, image.NewGray(image.Rect(0, 0, 64, 64)))}}, ""
	if _, err := e.Picture(t.Context(), target, r); err != nil || len(a.asked) != 1 || !strings.Contains(a.last(), "transparent") {
		t.Errorf("%v, %d requests", err, len(a.asked))
	}
	r.Format = "jpeg"
	if _, err := e.Picture(t.Context(), target, r); apierr.From(err).Code != apierr.CodeValidation {
		t.Errorf("a transparent jpeg: %v", err)
	}
	a = newAnswers(t, 1)
	a.deny = "response_format"
	if _, err := over(t, a, nil).Picture(t.Context(), target, ask(1)); err != nil || len(a.asked) != 2 {
		t.Errorf("%v, %d requests", err, len(a.asked))
	}
}

// TestSizes: the nearest shape is asked for, then the nearest area.
func TestSizes(t *testing.T) {
	t.Parallel()
	a := newAnswers(t, 1)
	e := over(t, a, func(u *sdserver.Upstream) {
		u.Sizes = []sdserver.Size{{1024, 1024}, {512, 512}, {1536, 1024}, {1024, 1536}}
	})
	for want, size := range map[string][2]int{"512x512": {448, 480}, "1024x1024": {1100, 1000}, "1536x1024": {1344, 768}, "1024x1536": {320, 704}} {
		r := ask(1)
		r.Width, r.Height = size[0], size[1]
		if _, err := e.Picture(t.Context(), target, r); err != nil || !strings.Contains(a.last(), `"size":"`+want+`"`) {
			t.Errorf("%v: %v, asked %s", size, err, a.last())
		}
	}
}

// TestCancelled: a job whose caller went away, or whose engine ends, is taken off the
// server's queue.
func TestCancelled(t *testing.T) {
	t.Parallel()
	polled, cancelled := make(chan struct{}, 8), make(chan string, 8)
	h := http.NewServeMux()
	h.HandleFunc("GET /sdcpp/v1/capabilities", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"supported_modes":["img_gen"]}`) })
	h.HandleFunc("POST /sdcpp/v1/img_gen", func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&map[string]any{}); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"id":"job_7"}`)
	})
	h.HandleFunc("GET /sdcpp/v1/jobs/job_7", func(w http.ResponseWriter, _ *http.Request) {
		select {
		case polled <- struct{}{}:
		default:
		}
		fmt.Fprint(w, `{"id":"job_7","status":"queued"}`)
	})
	h.HandleFunc("POST /sdcpp/v1/jobs/job_7/cancel", func(w http.ResponseWriter, r *http.Request) {
		cancelled <- r.URL.Path
		fmt.Fprint(w, `{}`)
	})
	e := over(t, h, func(u *sdserver.Upstream) { u.Kind = sdserver.SDServer })
	begin := func(ctx context.Context) <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := e.Picture(ctx, target, ask(1))
			done <- err
		}()
		<-polled
		return done
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := begin(ctx)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller left: %v", err)
	}
	<-cancelled
	run, end := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- e.Run(run) }()
	for len(polled) > 0 {
		<-polled
	}
	done = begin(t.Context())
	end()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	enginetest.WantCode(t, <-done, apierr.CodeServiceUnavailable)
	<-cancelled
}

// TestServers: what a server tells of itself is what it is asked for.
func TestServers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		capabilities string
		code         string
	}{
		"videos alone": {`{"supported_modes":["vid_gen"]}`, apierr.CodeModelNotReady},
		"no JSON":      {`<html>`, apierr.CodeModelError},
		"small":        {`{"supported_modes":["img_gen"],"limits":{"max_width":256}}`, apierr.CodeValidation},
		"one at once":  {`{"supported_modes":["img_gen"],"limits":{"max_batch_count":1}}`, apierr.CodeValidation},
	} {
		h := http.NewServeMux()
		h.HandleFunc("GET /sdcpp/v1/capabilities", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, c.capabilities) })
		e := over(t, h, func(u *sdserver.Upstream) { u.Kind = sdserver.SDServer })
		_, err := e.Picture(t.Context(), target, ask(2))
		if apierr.From(err) == nil || apierr.From(err).Code != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	e := over(t, http.NotFoundHandler(), nil)
	if err := e.Probe(t.Context(), target); err != nil {
		t.Errorf("a server without a list: %v", err)
	}
	if err := e.Probe(t.Context(), engine.Target{Weights: "x"}); err == nil {
		t.Error("a server that is not there was there")
	}
}

// TestNoText: the methods for text refuse, and other weights are not ready.
func TestNoText(t *testing.T) {
	t.Parallel()
	e := over(t, http.NotFoundHandler(), nil)
	_, err := llm.Collect(e.Generate(t.Context(), target, &llm.Request{}))
	enginetest.WantCode(t, err, apierr.CodeValidation)
	_, err = e.Count(t.Context(), target, &llm.Request{})
	enginetest.WantCode(t, err, apierr.CodeValidation)
	_, err = e.Embed(t.Context(), target, &llm.EmbedRequest{})
	enginetest.WantCode(t, err, apierr.CodeValidation)
	_, err = e.Info(t.Context(), target)
	if err != nil {
		t.Error(err)
	}
	_, err = e.Picture(t.Context(), engine.Target{Weights: "w", Mode: engine.Chat}, ask(1))
	enginetest.WantCode(t, err, apierr.CodeModelNotReady)
	if err := e.Reserve(t.Context(), target, "holder", sdserver.DefaultConcurrent+1); apierr.From(err).Code != apierr.CodeServiceQuotaExceeded {
		t.Errorf("more than there is was set aside: %v", err)
	}
}

// TestConfig: what cannot work is refused at the start, by its name.
func TestConfig(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*sdserver.Upstream){
		"url: want":     func(u *sdserver.Upstream) { u.URL = "ftp://x" },
		"no user":       func(u *sdserver.Upstream) { u.URL = "http://a:b@x" },
		"no transport":  func(u *sdserver.Upstream) { u.Transport = nil },
		"kind":          func(u *sdserver.Upstream) { u.Kind = "dalle" },
		"not for kind":  func(u *sdserver.Upstream) { u.Kind, u.Sampling = sdserver.SDServer, true },
		"not be negati": func(u *sdserver.Upstream) { u.Timeout = -1 },
		"image_sizes":   func(u *sdserver.Upstream) { u.Sizes = []sdserver.Size{{}} },
	} {
		u := sdserver.Upstream{URL: "http://127.0.0.1:1/v1", Kind: sdserver.OpenAIImages, Transport: http.DefaultTransport}
		change(&u)
		if _, err := sdserver.New(sdserver.Config{Upstreams: map[string]sdserver.Upstream{"w": u}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
