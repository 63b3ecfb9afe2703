package app_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go"
	"golang.org/x/image/webp"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// startStudio starts a server whose picture models are painted by another one.
func startStudio(t *testing.T, h http.Handler, change func(*app.Upstream)) *apptest.Server {
	t.Helper()
	backend := httptest.NewServer(h)
	t.Cleanup(backend.Close)
	path := filepath.Join(t.TempDir(), "catalogue.yaml")
	if err := os.WriteFile(path, []byte("weights:\n  - {id: stable-diffusion-v1-5, terms: false, source: {upstream: studio}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u := app.Upstream{Name: "studio", URL: backend.URL + "/v1", Kind: "openai-images", Model: "paint-1"}
	if change != nil {
		change(&u)
	}
	return apptest.Start(t, apptest.Log(slog.New(slog.DiscardHandler)), apptest.Config(func(c *app.Config) {
		c.Catalog, c.Upstreams = path, []app.Upstream{u}
	}))
}

// plain is a picture of one colour, in base64.
func plain(w, h int, c color.Color) string {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.Set(x, y, c)
		}
	}
	return base64.StdEncoding.EncodeToString(pngOf(img))
}

// half is white on the left and black on the right.
func half(w, h int) string {
	img := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w / 2 {
			img.SetGray(x, y, color.Gray{Y: 0xff})
		}
	}
	return base64.StdEncoding.EncodeToString(pngOf(img))
}

func pngOf(img image.Image) []byte {
	var b bytes.Buffer
	_ = png.Encode(&b, img) // a good picture into memory cannot fail
	return b.Bytes()
}

// made are the pictures of a body of any family.
type made struct {
	Images    []string `json:"images"`
	Seeds     []int64  `json:"seeds"`
	Artifacts []struct {
		Seed   int64  `json:"seed"`
		Data   string `json:"base64"`
		Reason string `json:"finishReason"`
	} `json:"artifacts"`
}

func (m *made) all(t *testing.T) []image.Image {
	t.Helper()
	texts := m.Images
	for _, a := range m.Artifacts {
		texts = append(texts, a.Data)
	}
	var out []image.Image
	for _, text := range texts {
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, decode := range []func() (image.Image, error){
			func() (image.Image, error) { return png.Decode(bytes.NewReader(data)) },
			func() (image.Image, error) { return jpeg.Decode(bytes.NewReader(data)) },
			func() (image.Image, error) { return webp.Decode(bytes.NewReader(data)) },
		} {
			if img, err := decode(); err == nil {
				out = append(out, img)
			}
		}
	}
	if len(out) == 0 || len(out) != len(texts) {
		t.Fatalf("%d of %d pictures can be read", len(out), len(texts))
	}
	return out
}

var green = color.RGBA{0x10, 0xc0, 0x20, 0xff}

// pictureCase is one body, and what has to come of it.
type pictureCase struct {
	name, model, body string
	count             int
	size              image.Point
	start             bool              // a picture goes to the server
	kept, painted     image.Point       // of a mask
	fields            map[string]string // of sd-server, a part of each
}

func pictureCases() []pictureCase {
	square := plain(512, 512, green)
	return []pictureCase{
		{name: "sdxl", model: "stability.stable-diffusion-xl-v1", count: 1, size: image.Pt(1024, 1024),
			body:   `{"text_prompts":[{"text":"a rock"},{"text":"people","weight":-1}],"cfg_scale":9,"steps":20,"seed":7,"style_preset":"pixel-art"}`,
			fields: map[string]string{"prompt": "a rock, pixel-art style", "negative_prompt": "people", "steps": "20", "guidance": "9", "seed": "7"}},
		{name: "sdxl from a picture", model: "stability.stable-diffusion-xl-v1", count: 1, size: image.Pt(512, 512), start: true,
			body:   `{"text_prompts":[{"text":"a rock"}],"init_image":"` + square + `","image_strength":0.25}`,
			fields: map[string]string{"strength": "0.75"}},
		{name: "sdxl mask, white is changed", model: "stability.stable-diffusion-xl-v1", count: 1, size: image.Pt(512, 512), start: true,
			body: `{"text_prompts":[{"text":"a rock"}],"init_image":"` + square + `","mask_source":"MASK_IMAGE_WHITE","mask_image":"` + half(512, 512) + `"}`,
			kept: image.Pt(400, 200), painted: image.Pt(100, 200)},
		{name: "sdxl mask, black is changed", model: "stability.stable-diffusion-xl-v1", count: 1, size: image.Pt(512, 512), start: true,
			body: `{"text_prompts":[{"text":"a rock"}],"init_image":"` + square + `","mask_source":"MASK_IMAGE_BLACK","mask_image":"` + half(512, 512) + `"}`,
			kept: image.Pt(100, 200), painted: image.Pt(400, 200)},
		{name: "sd3 as jpeg", model: "stability.sd3-5-large-v1:0", count: 1, size: image.Pt(1344, 768),
			body: `{"prompt":"a rock","aspect_ratio":"16:9","output_format":"jpeg","negative_prompt":"people","seed":9}`},
		{name: "sd3 from a picture", model: "stability.sd3-large-v1:0", count: 1, size: image.Pt(512, 512), start: true,
			body: `{"prompt":"a rock","mode":"image-to-image","image":"` + square + `","strength":0.6}`},
		{name: "core as webp", model: "stability.stable-image-core-v1:1", count: 1, size: image.Pt(1024, 1024), body: `{"prompt":"a rock","output_format":"webp"}`},
		{name: "ultra from a picture", model: "stability.stable-image-ultra-v1:1", count: 1, size: image.Pt(512, 512), start: true,
			body: `{"prompt":"a rock","image":"` + square + `"}`},
		{name: "titan", model: "amazon.titan-image-generator-v1", count: 3, size: image.Pt(512, 512),
			body: `{"taskType":"TEXT_IMAGE","textToImageParams":{"text":"a rock","negativeText":"people"},"imageGenerationConfig":{"numberOfImages":3,"width":512,"height":512,"seed":5}}`},
		{name: "titan variation", model: "amazon.titan-image-generator-v2:0", count: 1, size: image.Pt(512, 512), start: true,
			body:   `{"taskType":"IMAGE_VARIATION","imageVariationParams":{"images":["` + plain(700, 400, green) + `"],"similarityStrength":0.4},"imageGenerationConfig":{"width":512,"height":512}}`,
			fields: map[string]string{"strength": "0.6"}},
		{name: "titan inpainting without text", model: "amazon.titan-image-generator-v2:0", count: 1, size: image.Pt(512, 512), start: true,
			body: `{"taskType":"INPAINTING","inPaintingParams":{"image":"` + square + `","maskImage":"` + half(512, 512) + `"}}`,
			kept: image.Pt(100, 200), painted: image.Pt(400, 200)},
		{name: "nova canvas", model: "amazon.nova-canvas-v1:0", count: 2, size: image.Pt(1280, 720),
			body: `{"taskType":"TEXT_IMAGE","textToImageParams":{"text":"a rock"},"imageGenerationConfig":{"numberOfImages":2,"width":1280,"height":720,"seed":12}}`},
		{name: "nova inpainting", model: "amazon.nova-canvas-v1:0", count: 1, size: image.Pt(512, 512), start: true,
			body: `{"taskType":"INPAINTING","inPaintingParams":{"text":"a rock","image":"` + square + `","maskImage":"` + half(512, 512) + `"}}`,
			kept: image.Pt(100, 200), painted: image.Pt(400, 200)},
		{name: "nova outpainting", model: "amazon.nova-canvas-v1:0", count: 1, size: image.Pt(512, 512), start: true,
			body: `{"taskType":"OUTPAINTING","outPaintingParams":{"text":"a rock","image":"` + square + `","maskImage":"` + half(512, 512) + `","outPaintingMode":"PRECISE"}}`,
			kept: image.Pt(400, 200), painted: image.Pt(100, 200)},
	}
}

// TestPictures: each family's bodies make pictures through the SDK, on servers of
// both kinds.
func TestPictures(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"openai-images", "sd-server"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			st := newStudio(t)
			s := startStudio(t, st, func(u *app.Upstream) { u.Kind = kind })
			for _, c := range pictureCases() {
				var m made
				invoke(t, s.Runtime(), c.model, c.body, &m)
				all, a := m.all(t), st.last()
				if len(all) != c.count || (a.image != nil) != c.start || kind == "sd-server" != strings.HasPrefix(a.path, "/sdcpp/") {
					t.Errorf("%s: %d pictures, asked with %s %v", c.name, len(all), a.path, a.fields)
				}
				for _, img := range all {
					if img.Bounds().Size() != c.size {
						t.Errorf("%s: %v, want %v", c.name, img.Bounds(), c.size)
					}
				}
				if c.kept != (image.Point{}) {
					if got := rgbaAt(all[0], c.kept); got != green {
						t.Errorf("%s: what the mask keeps is %v", c.name, got)
					}
					if got := rgbaAt(all[0], c.painted); got == green {
						t.Errorf("%s: what the mask changes is as it was", c.name)
					}
				}
				if kind == "sd-server" {
					for k, v := range c.fields {
						if a.fields[k] != v {
							t.Errorf("%s: %s is %q, want %q", c.name, k, a.fields[k], v)
						}
					}
				} else if neg := c.fields["negative_prompt"]; !strings.Contains(a.fields["prompt"], neg) {
					t.Errorf("%s: prompt %q", c.name, a.fields["prompt"])
				}
				for _, seed := range append(m.Seeds, seedsOf(&m)...) {
					if want := c.fields["seed"]; want != "" && fmt.Sprint(seed) != want {
						t.Errorf("%s: seed %d, want %s", c.name, seed, want)
					}
				}
			}
		})
	}
}

func seedsOf(m *made) (out []int64) {
	for _, a := range m.Artifacts {
		out = append(out, a.Seed)
	}
	return out
}

func rgbaAt(img image.Image, p image.Point) color.RGBA {
	return color.RGBAModel.Convert(img.At(p.X, p.Y)).(color.RGBA)
}

// TestPictureSettings: a seed makes the same pictures again where the server takes
// it; a server of few sizes is asked for the nearest, and its picture scaled.
func TestPictureSettings(t *testing.T) {
	t.Parallel()
	st := newStudio(t)
	s := startStudio(t, st, func(u *app.Upstream) {
		u.ImageSampling, u.ImageSizes = true, []string{"1024x1024", "1536x1024", "1024x1536"}
	})
	body := `{"taskType":"TEXT_IMAGE","textToImageParams":{"text":"a rock","negativeText":"people"},"imageGenerationConfig":{"numberOfImages":2,"width":1280,"height":720,"seed":41,"cfgScale":3}}`
	var first, again made
	invoke(t, s.Runtime(), "amazon.nova-canvas-v1:0", body, &first)
	a := st.last()
	if a.fields["size"] != "1536x1024" || a.fields["seed"] != "42" || a.fields["negative_prompt"] != "people" || a.fields["guidance_scale"] != "3" || a.fields["n"] != "1" {
		t.Errorf("asked with %v", a.fields)
	}
	invoke(t, s.Runtime(), "amazon.nova-canvas-v1:0", body, &again)
	if img := first.all(t); len(img) != 2 || img[0].Bounds().Size() != image.Pt(1280, 720) || first.Images[0] == first.Images[1] {
		t.Errorf("%d pictures", len(img))
	}
	if first.Images[0] != again.Images[0] || first.Images[1] != again.Images[1] {
		t.Error("the same seed makes other pictures")
	}
}

// TestPictureRefusals: what a server cannot do is refused by its name, whatever is
// wrong with a picture by its place, and settings hidden in prompts stay words.
func TestPictureRefusals(t *testing.T) {
	t.Parallel()
	st := newStudio(t)
	s := startStudio(t, st, func(u *app.Upstream) { u.Kind = "sd-server" })
	square := plain(512, 512, green)
	for name, c := range map[string]struct{ model, body, want string }{
		"colours":      {"amazon.nova-canvas-v1:0", `{"taskType":"COLOR_GUIDED_GENERATION","colorGuidedGenerationParams":{"text":"a rock","colors":["#ff0000"]}}`, "color guided"},
		"background":   {"amazon.titan-image-generator-v2:0", `{"taskType":"BACKGROUND_REMOVAL","backgroundRemovalParams":{"image":"` + square + `"}}`, "remove background"},
		"try on":       {"amazon.nova-canvas-v1:0", `{"taskType":"VIRTUAL_TRY_ON","virtualTryOnParams":{"sourceImage":"` + square + `","referenceImage":"` + square + `","maskType":"IMAGE","imageBasedMask":{"maskImage":"` + half(512, 512) + `"}}}`, "virtual try on"},
		"edges":        {"amazon.nova-canvas-v1:0", `{"taskType":"TEXT_IMAGE","textToImageParams":{"text":"a rock","conditionImage":"` + square + `"}}`, "control"},
		"mask prompt":  {"amazon.nova-canvas-v1:0", `{"taskType":"INPAINTING","inPaintingParams":{"image":"` + square + `","maskPrompt":"sky"}}`, "maskPrompt"},
		"two pictures": {"amazon.titan-image-generator-v2:0", `{"taskType":"IMAGE_VARIATION","imageVariationParams":{"images":["` + square + `","` + square + `"]}}`, "variation of one picture"},
		"no picture":   {"stability.stable-diffusion-xl-v1", `{"text_prompts":[{"text":"a"}],"init_image":"` + base64.StdEncoding.EncodeToString([]byte("nothing")) + `"}`, "init_image"},
		"too small":    {"stability.stable-diffusion-xl-v1", `{"text_prompts":[{"text":"a"}],"init_image":"` + plain(16, 16, green) + `"}`, "16x16"},
	} {
		_, err := s.Runtime().InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: new(c.model), ContentType: new("application/json"), Body: []byte(c.body)})
		if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != apierr.CodeValidation || !strings.Contains(e.ErrorMessage(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	var m made
	invoke(t, s.Runtime(), "stability.stable-image-core-v1:1", `{"prompt":"a rock <sd_cpp_extra_args>{\"width\":100000}</sd_cpp_extra_args> <lora:../x:1>"}`, &m)
	if p := st.last().fields["prompt"]; strings.Contains(p, "sd_cpp_extra_args") || strings.Contains(p, "<lora:") {
		t.Errorf("prompt %q", p)
	}
}

// TestHostilePictures: whatever a server answers, a caller gets an error of the
// model, soon and of little size.
func TestHostilePictures(t *testing.T) {
	t.Parallel()
	good := base64.StdEncoding.EncodeToString(pngOf(image.NewGray(image.Rect(0, 0, 64, 64))))
	entry := func(data string) string { return `{"data":[{"b64_json":"` + data + `"}]}` }
	bomb := func() []byte { // says 30,000 x 30,000 pixels
		b := pngOf(image.NewGray(image.Rect(0, 0, 8, 8)))
		copy(b[16:], []byte{0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30})
		return b
	}
	for name, c := range map[string]struct {
		status int
		answer string
		code   string
	}{
		"no picture":   {200, entry(base64.StdEncoding.EncodeToString([]byte("<svg/>"))), apierr.CodeModelError},
		"no base64":    {200, entry("%%%"), apierr.CodeModelError},
		"too many":     {200, `{"data":[{"b64_json":"` + good + `"},{"b64_json":"` + good + `"}]}`, apierr.CodeModelError},
		"none":         {200, `{"data":[]}`, apierr.CodeModelError},
		"an address":   {200, `{"data":[{"url":"http://127.0.0.1:1/x.png"}]}`, apierr.CodeModelError},
		"no JSON":      {200, `<html>`, apierr.CodeModelError},
		"a large size": {200, entry(base64.StdEncoding.EncodeToString(bomb())), apierr.CodeModelError},
		"endless":      {200, "endless", apierr.CodeModelError},
		"busy":         {429, `{}`, apierr.CodeThrottling},
		"filtered":     {400, `{"error":{"code":"moderation_blocked","message":"secret words"}}`, apierr.CodeValidation},
		"key refused":  {401, `{}`, apierr.CodeModelError},
		"moved":        {302, ``, apierr.CodeModelError},
		"down":         {503, ``, apierr.CodeModelNotReady},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(c.status)
				if c.answer == "endless" {
					for block := bytes.Repeat([]byte("A"), 1<<20); r.Context().Err() == nil; {
						if _, err := w.Write(block); err != nil {
							return
						}
					}
				}
				fmt.Fprint(w, c.answer)
			})
			s := startStudio(t, h, nil)
			_, err := s.Runtime().InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{
				ModelId: new("stability.stable-image-core-v1:1"), ContentType: new("application/json"), Body: []byte(`{"prompt":"a rock"}`),
			})
			e, ok := errors.AsType[smithy.APIError](err)
			if !ok || e.ErrorCode() != c.code || strings.Contains(e.ErrorMessage(), "secret") || len(e.ErrorMessage()) > 300 {
				t.Errorf("%v, want %s", err, c.code)
			}
		})
	}
}

// TestFailedJobs: so does whatever sd-server's jobs end in; a job that nobody waits
// for is cancelled.
func TestFailedJobs(t *testing.T) {
	t.Parallel()
	cancelled := make(chan string, 1)
	status := make(chan string, 1)
	h := http.NewServeMux()
	st := newStudio(t)
	h.Handle("/sdcpp/v1/capabilities", st)
	h.HandleFunc("POST /sdcpp/v1/img_gen", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"id":"job_1"}`)
	})
	h.HandleFunc("GET /sdcpp/v1/jobs/job_1", func(w http.ResponseWriter, _ *http.Request) {
		s := <-status
		status <- s
		_ = json.NewEncoder(w).Encode(map[string]any{"id": "job_1", "status": s, "error": map[string]string{"message": "secret words"}})
	})
	h.HandleFunc("POST /sdcpp/v1/jobs/job_1/cancel", func(w http.ResponseWriter, r *http.Request) {
		cancelled <- r.URL.Path
		fmt.Fprint(w, `{}`)
	})
	s := startStudio(t, h, func(u *app.Upstream) { u.Kind, u.FirstByte = "sd-server", 400_000_000 })
	ask := func() string {
		_, err := s.Runtime().InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{
			ModelId: new("stability.stable-image-core-v1:1"), ContentType: new("application/json"), Body: []byte(`{"prompt":"a rock"}`),
		})
		if e, ok := errors.AsType[smithy.APIError](err); ok && !strings.Contains(e.ErrorMessage(), "secret") {
			return e.ErrorCode()
		}
		return fmt.Sprint(err)
	}
	for state, want := range map[string]string{"failed": apierr.CodeModelError, "completed": apierr.CodeModelError, "dancing": apierr.CodeModelError} {
		status <- state
		if got := ask(); got != want {
			t.Errorf("%s: %s, want %s", state, got, want)
		}
		<-status
	}
	status <- "queued"
	for len(cancelled) > 0 {
		<-cancelled
	}
	if got := ask(); got != apierr.CodeModelTimeout {
		t.Errorf("queued for long: %s", got)
	}
	if path := <-cancelled; path == "" {
		t.Error("the job was not cancelled")
	}
}
