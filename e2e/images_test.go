package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// TestPictures runs clients/boto3_images.py against a server whose picture models
// lie on a server of OpenAI's images API.
func TestPictures(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/images/generations", generations)
	mux.HandleFunc("POST /v1/images/edits", edits)
	painter := httptest.NewServer(mux)
	t.Cleanup(painter.Close)
	catalogue := filepath.Join(t.TempDir(), "catalogue.yaml")
	if err := os.WriteFile(catalogue, []byte("weights:\n  - {id: stable-diffusion-v1-5, terms: false, source: {upstream: painter}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := startFor(t, options{program: s.scripted, config: fmt.Sprintf(
		"catalog: %q\nupstreams:\n  - {name: painter, url: %q, kind: openai-images, model: noise, image_sampling: true}", catalogue, painter.URL+"/v1",
	)})
	runCases(t, srv, "boto3_images.py")
}

// generations makes noise of a seed.
func generations(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Model, Prompt, Size string
		N                   int
		Seed                uint64
		Format              string  `json:"response_format"`
		Negative            string  `json:"negative_prompt"`
		Steps               int     `json:"num_inference_steps"`
		Guidance            float64 `json:"guidance_scale"`
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&ask); err != nil || ask.Model != "noise" || ask.Prompt == "" || ask.Format != "b64_json" || ask.N != 1 {
		http.Error(w, `{"error":{"message":"not so"}}`, http.StatusBadRequest)
		return
	}
	paint(w, ask.Size, ask.Seed, nil, nil)
}

// edits makes noise where the mask of a form is transparent, or everywhere.
func edits(w http.ResponseWriter, r *http.Request) {
	seed, _ := strconv.ParseUint(r.FormValue("seed"), 10, 64)
	read := func(name string) image.Image {
		f, _, err := r.FormFile(name)
		if err != nil {
			return nil
		}
		defer f.Close() // read only
		img, err := png.Decode(f)
		if err != nil {
			return nil
		}
		return img
	}
	from, mask := read("image"), read("mask")
	if from == nil || r.FormValue("prompt") == "" || r.FormValue("n") != "1" || mask != nil && mask.Bounds() != from.Bounds() {
		http.Error(w, `{"error":{"message":"not so"}}`, http.StatusBadRequest)
		return
	}
	paint(w, r.FormValue("size"), seed, from, mask)
}

func paint(w http.ResponseWriter, size string, seed uint64, from, mask image.Image) {
	var width, height int
	if n, _ := fmt.Sscanf(size, "%dx%d", &width, &height); n != 2 {
		http.Error(w, `{"error":{"message":"size"}}`, http.StatusBadRequest)
		return
	}
	rnd := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- a picture for a test
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.SetRGBA(x, y, color.RGBA{uint8(rnd.Uint32()), uint8(x), uint8(y), 0xff})
			if mask != nil {
				if _, _, _, a := mask.At(x, y).RGBA(); a > 0 {
					img.Set(x, y, from.At(x, y))
				}
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		http.Error(w, "{}", http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, `{"created":1,"data":[{"b64_json":%q}]}`, base64.StdEncoding.EncodeToString(b.Bytes()))
}
