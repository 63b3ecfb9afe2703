package app_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// studio is a server of OpenAI's images API, and of stable-diffusion.cpp's own,
// that really paints: noise from the seed, the prompt's letters as the colour, and
// where there is a picture to start from, that picture where its mask keeps it.
// Requests that the real ones would refuse fail the test.
type studio struct {
	t    *testing.T
	mu   sync.Mutex
	asks []ask          // every request to paint
	jobs map[string]any // of stable-diffusion.cpp
}

// ask is one request to a studio.
type ask struct {
	path   string
	fields map[string]string
	image  image.Image // the first
	images int
	mask   image.Image
}

func newStudio(t *testing.T) *studio { return &studio{t: t, jobs: map[string]any{}} }

func (s *studio) last() ask {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asks) == 0 {
		s.t.Fatal("the studio was not asked")
	}
	return s.asks[len(s.asks)-1]
}

func refuse(w http.ResponseWriter, format string, args ...any) {
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"error":{"message":%q}}`, fmt.Sprintf(format, args...))
}

// ServeHTTP implements http.Handler.
func (s *studio) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/sdcpp/v1/capabilities":
		fmt.Fprint(w, `{"supported_modes":["img_gen"],"features_by_mode":{"img_gen":{"init_image":true,"mask_image":true}},"limits":{"max_width":4096,"max_height":4096,"max_batch_count":8}}`)
	case strings.HasPrefix(r.URL.Path, "/sdcpp/v1/jobs/"):
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = json.NewEncoder(w).Encode(s.jobs[strings.TrimPrefix(r.URL.Path, "/sdcpp/v1/jobs/")])
	case r.URL.Path == "/sdcpp/v1/img_gen":
		s.native(w, r)
	case r.URL.Path == "/v1/images/generations":
		s.generate(w, r)
	case r.URL.Path == "/v1/images/edits":
		s.edit(w, r)
	default:
		http.NotFound(w, r)
	}
}

// known are the fields of OpenAI's API, and of servers that take settings too.
func known(name string) bool {
	switch name {
	case "model", "prompt", "n", "size", "response_format", "output_format", "background",
		"seed", "negative_prompt", "num_inference_steps", "guidance_scale":
		return true
	}
	return false
}

func (s *studio) generate(w http.ResponseWriter, r *http.Request) {
	var body map[string]any
	d := json.NewDecoder(r.Body)
	d.UseNumber()
	if err := d.Decode(&body); err != nil || r.Header.Get("Content-Type") != "application/json" {
		refuse(w, "no JSON")
		return
	}
	a := ask{path: r.URL.Path, fields: map[string]string{}}
	for k, v := range body {
		if !known(k) {
			refuse(w, "unknown parameter %s", k)
			return
		}
		a.fields[k] = fmt.Sprint(v)
	}
	s.answer(w, a)
}

func (s *studio) edit(w http.ResponseWriter, r *http.Request) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		refuse(w, "no form")
		return
	}
	a := ask{path: r.URL.Path, fields: map[string]string{}}
	for form := multipart.NewReader(r.Body, params["boundary"]); ; {
		part, err := form.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			refuse(w, "a broken form")
			return
		}
		data, err := io.ReadAll(part)
		if err != nil {
			refuse(w, "a broken part")
			return
		}
		switch name := part.FormName(); {
		case name == "image" || name == "image[]" || name == "mask":
			img, err := png.Decode(bytes.NewReader(data))
			if err != nil || part.FileName() == "" || part.Header.Get("Content-Type") != "image/png" {
				refuse(w, "%s is no PNG file", name)
				return
			}
			if name == "mask" {
				a.mask = img
			} else if a.images++; a.image == nil {
				a.image = img
			}
		case known(name) && a.fields[name] == "" && part.FileName() == "":
			a.fields[name] = string(data)
		default:
			refuse(w, "field %s", name)
			return
		}
	}
	if a.image == nil || a.mask != nil && a.mask.Bounds() != a.image.Bounds() {
		refuse(w, "no image, or a mask of another size")
		return
	}
	if a.mask != nil {
		if o, ok := a.mask.(interface{ Opaque() bool }); !ok || o.Opaque() {
			refuse(w, "the mask has no transparent part")
			return
		}
	}
	s.answer(w, a)
}

// answer paints for OpenAI's API.
func (s *studio) answer(w http.ResponseWriter, a ask) {
	s.mu.Lock()
	s.asks = append(s.asks, a)
	s.mu.Unlock()
	var width, height int
	if n, _ := fmt.Sscanf(a.fields["size"], "%dx%d", &width, &height); n != 2 || a.fields["prompt"] == "" || a.fields["response_format"] != "b64_json" {
		refuse(w, "size, prompt, response_format")
		return
	}
	n, err := strconv.Atoi(a.fields["n"])
	if err != nil || n < 1 || n > 10 {
		refuse(w, "n")
		return
	}
	seed, _ := strconv.ParseInt(a.fields["seed"], 10, 64)
	type datum struct {
		Data []byte `json:"b64_json"`
	}
	var out struct {
		Created int     `json:"created"`
		Data    []datum `json:"data"`
	}
	for i := range n {
		transparent := func(x, y int) bool { _, _, _, alpha := a.mask.At(x, y).RGBA(); return alpha == 0 }
		out.Data = append(out.Data, datum{paint(width, height, seed+int64(i), a, transparent)})
	}
	_ = json.NewEncoder(w).Encode(out)
}

// native takes a job of stable-diffusion.cpp and does it at once.
func (s *studio) native(w http.ResponseWriter, r *http.Request) {
	var b struct {
		Prompt   string   `json:"prompt"`
		Negative string   `json:"negative_prompt"`
		Width    int      `json:"width"`
		Height   int      `json:"height"`
		Seed     int64    `json:"seed"`
		Count    int      `json:"batch_count"`
		Strength *float64 `json:"strength"`
		Image    []byte   `json:"init_image"`
		Mask     []byte   `json:"mask_image"`
		Format   string   `json:"output_format"`
		Metadata bool     `json:"embed_image_metadata"`
		Sample   struct {
			Steps    int                `json:"sample_steps"`
			Guidance map[string]float64 `json:"guidance"`
		} `json:"sample_params"`
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil || b.Prompt == "" || b.Width%8 != 0 || b.Count < 1 || b.Metadata {
		refuse(w, "%v", err)
		return
	}
	a := ask{path: r.URL.Path, fields: map[string]string{
		"prompt": b.Prompt, "negative_prompt": b.Negative, "size": fmt.Sprintf("%dx%d", b.Width, b.Height),
		"steps": strconv.Itoa(b.Sample.Steps), "guidance": fmt.Sprint(b.Sample.Guidance["txt_cfg"]), "seed": fmt.Sprint(b.Seed),
	}}
	if b.Strength != nil {
		a.fields["strength"] = fmt.Sprint(*b.Strength)
	}
	for _, p := range []struct {
		data []byte
		to   *image.Image
	}{{b.Image, &a.image}, {b.Mask, &a.mask}} {
		if p.data == nil {
			continue
		}
		img, err := png.Decode(bytes.NewReader(p.data))
		if err != nil {
			refuse(w, "no PNG")
			return
		}
		*p.to = img
	}
	var images []map[string]any
	for i := range b.Count {
		light := func(x, y int) bool { l, _, _, _ := a.mask.At(x, y).RGBA(); return l > 0x8000 }
		images = append(images, map[string]any{"index": i, "b64_json": base64.StdEncoding.EncodeToString(paint(b.Width, b.Height, b.Seed+int64(i), a, light))})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asks = append(s.asks, a)
	id := "job_" + strconv.Itoa(len(s.asks))
	s.jobs[id] = map[string]any{"id": id, "status": "completed", "result": map[string]any{"output_format": "png", "images": images}}
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, `{"id":%q,"kind":"img_gen","status":"queued"}`, id)
}

// paint makes a picture; changed tells what of a.image is painted over.
func paint(width, height int, seed int64, a ask, changed func(x, y int) bool) []byte {
	rnd := rand.New(rand.NewPCG(uint64(seed), 1)) // #nosec G115 G404 -- a picture for a test
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			n := uint8(rnd.Uint32())
			c := color.RGBA{n, uint8(len(a.fields["prompt"])), uint8(x * 255 / width), 0xff}
			if a.mask != nil && !changed(x, y) {
				r, g, b, _ := a.image.At(x, y).RGBA()
				c = color.RGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), 0xff}
			}
			img.SetRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	_ = (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, img) // a good picture into memory cannot fail
	return b.Bytes()
}
