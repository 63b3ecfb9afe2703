package sdserver

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// says answers every request by the same bytes.
type says []byte

func (s says) RoundTrip(r *http.Request) (*http.Response, error) {
	status := http.StatusOK
	if r.Method == http.MethodPost && r.URL.Path == "/sdcpp/v1/img_gen" {
		status = http.StatusAccepted
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(s)), Request: r}, nil
}

// FuzzAnswer: whatever a server answers, a request ends with as many pictures as were
// asked for or with an error for the caller.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		`{"data":[{"b64_json":"aGk="}]}`, `{"data":[{"url":"http://x/"}]}`, `{"data":[{"b64_json":"data:image/png;base64,aGk="}]}`, `{"data":[]}`, `[`,
		`{"supported_modes":["img_gen"],"id":"a","status":"completed","result":{"images":[{"index":0,"b64_json":"aGk="}]}}`,
		`{"supported_modes":["img_gen"],"id":"../x","status":"failed"}`, `{"supported_modes":["img_gen"],"id":"a","status":"completed","result":{"images":[{"index":-1}]}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		if bytes.Contains(answer, []byte("queued")) || bytes.Contains(answer, []byte("generating")) {
			return // a job that never ends
		}
		for _, kind := range Kinds() {
			e, err := New(Config{Upstreams: map[string]Upstream{"w": {URL: "http://server", Kind: kind, Transport: says(answer)}}})
			if err != nil {
				t.Fatal(err)
			}
			r := &llm.PictureRequest{Task: llm.TextToImage, Prompt: "a rock", Width: 64, Height: 64, Count: 1, Format: "png"}
			ctx, cancel := context.WithCancel(t.Context())
			resp, err := e.Picture(ctx, engine.Target{Weights: "w", Mode: engine.Image}, r)
			cancel()
			if err == nil && (len(resp.Images) != 1 || len(resp.Images[0]) == 0 || len(resp.Seeds) != 1) {
				t.Fatalf("%s: %+v", kind, resp)
			}
			if err != nil && apierr.From(err).Code == apierr.CodeInternal {
				t.Fatalf("%s: %v", kind, err)
			}
		}
	})
}
