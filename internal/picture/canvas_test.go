package picture

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/image/webp"

	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// TestEncodeWebP: another decoder reads every pixel as it was.
func TestEncodeWebP(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- a test
	fill := func(w, h int, at func(x, y int) color.RGBA) *image.RGBA {
		img := image.NewRGBA(image.Rect(0, 0, w, h))
		for y := range h {
			for x := range w {
				img.SetRGBA(x, y, at(x, y))
			}
		}
		return img
	}
	for name, img := range map[string]*image.RGBA{
		"one pixel":  rgba(1, 1),
		"corners":    rgba(13, 7),
		"one colour": fill(600, 3, func(int, int) color.RGBA { return color.RGBA{7, 7, 7, 255} }),
		"wide":       fill(1031, 2, func(x, y int) color.RGBA { return color.RGBA{uint8(x), uint8(x * y), uint8(x >> 3), 255} }),
		"gradient":   fill(64, 64, func(x, y int) color.RGBA { return color.RGBA{uint8(4 * x), uint8(4 * y), uint8(x ^ y), 255} }),
		"noise": fill(257, 129, func(int, int) color.RGBA {
			return color.RGBA{uint8(rnd.Uint32()), uint8(rnd.Uint32()), uint8(rnd.Uint32()), 255}
		}),
		"rare symbols": fill(512, 512, func(int, int) color.RGBA {
			return color.RGBA{uint8(1 << int(min(rnd.ExpFloat64()*2, 7))), uint8(min(rnd.ExpFloat64()*4, 255)), 0, 255}
		}),
	} {
		got, err := webp.Decode(bytes.NewReader(encodeWebP(img)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Bounds() != img.Rect {
			t.Errorf("%s: %v, want %v", name, got.Bounds(), img.Rect)
			continue
		}
		for y := range img.Rect.Dy() {
			for x := range img.Rect.Dx() {
				if r, g, b, a := got.At(x, y).RGBA(); (color.RGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), uint8(a >> 8)}) != img.RGBAAt(x, y) {
					t.Fatalf("%s: pixel %d,%d is %v, want %v", name, x, y, got.At(x, y), img.RGBAAt(x, y))
				}
			}
		}
	}
}

func media(t *testing.T, img image.Image, place string) llm.Media {
	t.Helper()
	return llm.Media{Format: "png", Data: pngOf(t, img), Place: place}
}

func decoded(t *testing.T, m *llm.Media) image.Image {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(m.Data))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// halves is light on the left and dark on the right.
func halves(w, h int) *image.Gray {
	img := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w / 2 {
			img.SetGray(x, y, color.Gray{Y: 0xf0})
		}
	}
	return img
}

// TestPrepare: masks mean the same to every engine, whatever they came as.
func TestPrepare(t *testing.T) {
	t.Parallel()
	c := NewCanvas(Limits{})
	alpha := rgba(128, 64)
	for y := range 64 {
		for x := 64; x < 128; x++ {
			alpha.SetRGBA(x, y, color.RGBA{})
		}
	}
	mask := media(t, halves(256, 128), "mask")
	for name, r := range map[string]*llm.PictureRequest{
		"black is changed": {Task: llm.Inpaint, Images: []llm.Media{media(t, rgba(128, 64), "image")}, Mask: &mask},
		"transparent":      {Task: llm.Outpaint, Images: []llm.Media{media(t, alpha, "image")}},
	} {
		out, err := c.Prepare(t.Context(), r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		img := decoded(t, out.Mask)
		if out.Width != 128 || out.Height != 64 || img.Bounds() != image.Rect(0, 0, 128, 64) || out.KeepMask {
			t.Errorf("%s: %dx%d, mask %v", name, out.Width, out.Height, img.Bounds())
		}
		near(t, img, 2, 2, color.White)
		near(t, img, 126, 60, color.Black)
		if o, ok := decoded(t, &out.Images[0]).(interface{ Opaque() bool }); !ok || !o.Opaque() {
			t.Errorf("%s: the picture is not opaque", name)
		}
	}
	out, err := c.Prepare(t.Context(), &llm.PictureRequest{Task: llm.Inpaint, Images: []llm.Media{media(t, rgba(128, 64), "image")}, Mask: &mask, KeepMask: true})
	if err != nil {
		t.Fatal(err)
	}
	near(t, decoded(t, out.Mask), 2, 2, color.Black)

	out, err = c.Prepare(t.Context(), &llm.PictureRequest{Task: llm.Variation, Images: []llm.Media{media(t, rgba(400, 200), "image")}, Width: 100, Height: 100})
	if err != nil || decoded(t, &out.Images[0]).Bounds() != image.Rect(0, 0, 100, 100) {
		t.Errorf("%v", err)
	}
}

func TestPrepareRefuses(t *testing.T) {
	t.Parallel()
	c := NewCanvas(Limits{})
	good := media(t, rgba(128, 64), "image")
	for name, r := range map[string]*llm.PictureRequest{
		"image: is no png":             {Task: llm.ImageToImage, Images: []llm.Media{{Data: []byte("no picture"), Place: "image"}}},
		"mask: is damaged":             {Task: llm.Inpaint, Images: []llm.Media{good}, Mask: &llm.Media{Data: good.Data[:60], Place: "mask"}},
		"width and height: too small":  {Task: llm.TextToImage, Width: 32, Height: 512},
		"width and height: too large":  {Task: llm.TextToImage, Width: 4096, Height: 4096},
		"width and height: no picture": {Task: llm.TextToImage},
	} {
		_, err := c.Prepare(t.Context(), r)
		e := apierr.From(err)
		if place, _, _ := strings.Cut(name, ":"); e == nil || e.Code != apierr.CodeValidation || !strings.Contains(e.Message, place) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFinish: pictures have the format and the size that were asked for, and no
// metadata.
func TestFinish(t *testing.T) {
	t.Parallel()
	c := NewCanvas(Limits{})
	for _, f := range []Format{PNG, JPEG, WebP} {
		out, err := c.Finish(t.Context(), &llm.PictureRequest{Width: 96, Height: 64, Format: string(f)}, [][]byte{pngOf(t, rgba(96, 64)), jpegOf(t, rgba(192, 192))})
		if err != nil || len(out) != 2 {
			t.Fatalf("%s: %v", f, err)
		}
		for i, data := range out {
			cfg, err := decodeConfig(f, data)
			if sniff(data) != f || err != nil || cfg.Width != 96 || cfg.Height != 64 {
				t.Errorf("%s %d: %v, %+v", f, i, err, cfg)
			}
		}
	}
	for name, data := range map[string][]byte{"text": []byte("nothing"), "empty": nil, "cut": pngOf(t, rgba(64, 64))[:80]} {
		if _, err := c.Finish(t.Context(), &llm.PictureRequest{Width: 64, Height: 64, Format: "png"}, [][]byte{data}); err == nil {
			t.Errorf("%s: taken for a picture", name)
		}
	}
}

func BenchmarkEncodeWebP(b *testing.B) {
	img := image.NewRGBA(image.Rect(0, 0, 1024, 1024))
	for i := range img.Pix {
		img.Pix[i] = byte(i>>6) | 3
	}
	for b.Loop() {
		encodeWebP(img)
	}
}

// TestAverage: scaled down, a pixel is as opaque as the area was.
func TestAverage(t *testing.T) {
	t.Parallel()
	img := image.NewRGBA(image.Rect(0, 0, 4, 2))
	for _, p := range []image.Point{{0, 0}, {0, 1}, {1, 0}, {3, 0}} {
		img.SetRGBA(p.X, p.Y, color.RGBA{200, 0, 0, 255})
	}
	got := average(img, img.Rect, 2, 1, false)
	if a, b := got.RGBAAt(0, 0), got.RGBAAt(1, 0); a != (color.RGBA{150, 0, 0, 191}) || b != (color.RGBA{50, 0, 0, 64}) {
		t.Errorf("%v %v", a, b)
	}
}
