package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/llm"
)

func must(t *testing.T, n *Normalizer, f Format, data []byte) (Image, image.Image) {
	t.Helper()
	out, err := n.Normalize(t.Context(), f, data)
	if err != nil {
		t.Fatal(err)
	}
	if sniff(out.Data) != out.Format {
		t.Fatalf("said to be %s, is %s", out.Format, sniff(out.Data))
	}
	img, err := decode(out.Format, out.Data)
	if err != nil {
		t.Fatalf("what came out does not decode: %v", err)
	}
	if b := img.Bounds(); b.Dx() != out.Width || b.Dy() != out.Height {
		t.Fatalf("said to be %d x %d, is %v", out.Width, out.Height, b)
	}
	if bytes.Contains(out.Data, []byte("Exif")) || bytes.Contains(out.Data, []byte("eXIf")) {
		t.Error("metadata came through")
	}
	return out, img
}

// near compares one pixel, with a tolerance for lossy formats.
func near(t *testing.T, img image.Image, x, y int, want color.Color) {
	t.Helper()
	r, g, b, a := img.At(x, y).RGBA()
	wr, wg, wb, wa := want.RGBA()
	for _, d := range []int{int(r) - int(wr), int(g) - int(wg), int(b) - int(wb), int(a) - int(wa)} {
		if max(d, -d) > 0x0a00 {
			t.Errorf("pixel %d,%d is %v, want %v", x, y, img.At(x, y), want)
			return
		}
	}
}

// checkCorners looks into the four quarters.
func checkCorners(t *testing.T, img image.Image, want [4]color.RGBA) {
	t.Helper()
	b := img.Bounds()
	for i, c := range want {
		near(t, img, b.Dx()*(1+2*(i%2))/4, b.Dy()*(1+2*(i/2))/4, c)
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	box := image.Rect(0, 0, 40, 20)
	gray := image.NewGray16(box)
	for i := range gray.Pix {
		gray.Pix[i] = 0x80
	}
	green, blue := color.NRGBA{G: 0xff, A: 0xff}, color.NRGBA{A: 0xff}
	for name, c := range map[string]struct {
		format, out Format
		data        []byte
		want        [4]color.RGBA
	}{
		"png":             {PNG, PNG, pngOf(t, rgba(40, 20)), corners},
		"png 16 bits":     {PNG, PNG, pngOf(t, paint(image.NewRGBA64(box))), corners},
		"png palette":     {PNG, PNG, pngOf(t, paletted(box)), corners},
		"png grey 16":     {PNG, PNG, pngOf(t, gray), [4]color.RGBA{grey, grey, grey, grey}},
		"png see-through": {PNG, PNG, pngOf(t, image.NewNRGBA(box)), [4]color.RGBA{white, white, white, white}},
		"jpeg":            {JPEG, JPEG, jpegOf(t, rgba(40, 20)), corners},
		"jpeg grey":       {JPEG, JPEG, jpegOf(t, gray), [4]color.RGBA{grey, grey, grey, grey}},
		"gif":             {GIF, PNG, gifOf(t, 40, 20, paletted(box)), corners},
		"gif animated":    {GIF, PNG, gifOf(t, 40, 20, paletted(box), image.NewPaletted(box, color.Palette{white})), corners},
		"gif small frame": {GIF, PNG, gifOf(t, 40, 20, image.NewPaletted(image.Rect(20, 0, 40, 10), color.Palette{corners[1]})),
			[4]color.RGBA{white, corners[1], white, white}},
		"webp lossless": {WebP, PNG, webpOf(riffChunk("VP8L", vp8l(40, 20, green, blue))), [4]color.RGBA{corners[1], corners[3], corners[1], corners[3]}},
		"webp extended": {WebP, PNG, webpOf(vp8x(0x10, 40, 20), riffChunk("VP8L", vp8l(40, 20, blue, green))), [4]color.RGBA{corners[3], corners[1], corners[3], corners[1]}},
		"webp see-through": {WebP, PNG, webpOf(riffChunk("VP8L", vp8l(40, 20, color.NRGBA{}, color.NRGBA{}))),
			[4]color.RGBA{white, white, white, white}},
		"webp animated": {WebP, PNG, webpOf(vp8x(0x12, 40, 20), riffChunk("ANIM", make([]byte, 6)),
			riffChunk("ANMF", slices.Concat(make([]byte, 6), frameSize(40, 20), make([]byte, 4), riffChunk("VP8L", vp8l(40, 20, green, blue)))),
			riffChunk("ANMF", make([]byte, 16))), [4]color.RGBA{corners[1], corners[3], corners[1], corners[3]}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, img := must(t, New(Limits{}), c.format, c.data)
			if out.Format != c.out || out.Width != 40 || out.Height != 20 {
				t.Errorf("%s of %d x %d, want %s of 40 x 20", out.Format, out.Width, out.Height, c.out)
			}
			checkCorners(t, img, c.want)
		})
	}
}

var white, grey = color.RGBA{0xff, 0xff, 0xff, 0xff}, color.RGBA{0x80, 0x80, 0x80, 0xff}

func TestLossyWebP(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{
		"plain": lossy(t),
		"animated": webpOf(vp8x(0x02, 1, 1), riffChunk("ANIM", make([]byte, 6)),
			riffChunk("ANMF", slices.Concat(make([]byte, 6), frameSize(1, 1), make([]byte, 4), lossy(t)[12:]))),
		"animated with alpha": webpOf(vp8x(0x12, 1, 1),
			riffChunk("ANMF", slices.Concat(make([]byte, 6), frameSize(1, 1), make([]byte, 4), riffChunk("ALPH", []byte{0, 0xff}), lossy(t)[12:]))),
	} {
		if out, _ := must(t, New(Limits{}), WebP, data); out.Width != 1 || out.Height != 1 {
			t.Errorf("%s: %d x %d", name, out.Width, out.Height)
		}
	}
}

// TestOrientation: where the corners of the stored picture come to lie.
func TestOrientation(t *testing.T) {
	t.Parallel()
	want := map[uint16][4]int{ // stored corner seen top left, top right, bottom left, bottom right
		1: {0, 1, 2, 3}, 2: {1, 0, 3, 2}, 3: {3, 2, 1, 0}, 4: {2, 3, 0, 1},
		5: {0, 2, 1, 3}, 6: {2, 0, 3, 1}, 7: {3, 1, 2, 0}, 8: {1, 3, 0, 2},
		0: {0, 1, 2, 3}, 9: {0, 1, 2, 3}, // no such orientations
	}
	pic := pngOf(t, rgba(64, 32))
	for o, from := range want {
		for name, order := range map[string]binary.AppendByteOrder{"Motorola": binary.BigEndian, "Intel": binary.LittleEndian} {
			t.Run(fmt.Sprintf("%d %s", o, name), func(t *testing.T) {
				t.Parallel()
				tiff := exif(order, o)
				for f, data := range map[Format][]byte{
					JPEG: jpegWith(jpegOf(t, rgba(64, 32)), tiff),
					PNG:  slices.Concat(pic[:33], pngChunk("eXIf", tiff), pic[33:]),
				} {
					out, img := must(t, New(Limits{}), f, data)
					w, h := 64, 32
					if o >= 5 && o <= 8 {
						w, h = h, w
					}
					if out.Width != w || out.Height != h {
						t.Errorf("%s: %d x %d, want %d x %d", f, out.Width, out.Height, w, h)
					}
					var seen [4]color.RGBA
					for i, c := range from {
						seen[i] = corners[c]
					}
					checkCorners(t, img, seen)
				}
			})
		}
	}
	data := webpOf(vp8x(0x18, 40, 20), riffChunk("VP8L", vp8l(40, 20, color.NRGBA{G: 0xff, A: 0xff}, color.NRGBA{A: 0xff})), riffChunk("EXIF", exif(binary.LittleEndian, 6)))
	out, img := must(t, New(Limits{}), WebP, data)
	if out.Width != 20 || out.Height != 40 {
		t.Errorf("webp: %d x %d", out.Width, out.Height)
	}
	checkCorners(t, img, [4]color.RGBA{corners[1], corners[1], corners[3], corners[3]})
}

func TestShrink(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ w, h, edge, tw, th int }{
		{400, 200, 100, 100, 50}, {200, 400, 100, 50, 100}, {101, 67, 100, 100, 66}, {100, 100, 100, 100, 100},
		{1000, 1, 100, 100, 1}, {3, 999, 10, 1, 10}, {50, 20, 100, 50, 20},
	} {
		out, img := must(t, New(Limits{MaxEdge: c.edge}), PNG, pngOf(t, rgba(c.w, c.h)))
		if out.Width != c.tw || out.Height != c.th {
			t.Errorf("%d x %d became %d x %d, want %d x %d", c.w, c.h, out.Width, out.Height, c.tw, c.th)
		}
		if c.tw >= 10 && c.th >= 10 {
			checkCorners(t, img, corners)
		}
	}
	stripes := image.NewGray(image.Rect(0, 0, 300, 300)) // lines of one pixel in three
	for i := range stripes.Pix {
		if i%3 == 0 {
			stripes.Pix[i] = 0xff
		}
	}
	_, img := must(t, New(Limits{MaxEdge: 100}), PNG, pngOf(t, stripes))
	near(t, img, 50, 50, color.RGBA{0x55, 0x55, 0x55, 0xff})
}

// progressive is a JPEG header of a progressive frame with full chroma, and scans
// empty passes over it.
func progressive(w, h, scans int) []byte {
	b := []byte{0xff, 0xd8, 0xff, 0xc2, 0, 17, 8, byte(h >> 8), byte(h), byte(w >> 8), byte(w), 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0}
	for range scans {
		b = append(b, 0xff, 0xda, 0, 8, 1, 1, 0, 1, 63, 0, 0x55)
	}
	return append(b, 0xff, 0xd9)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	small := pngOf(t, rgba(8, 8))
	photo := jpegOf(t, rgba(64, 64))
	for name, c := range map[string]struct {
		format Format
		data   []byte
		kind   Kind
		say    string
	}{
		"empty":                 {PNG, nil, WrongFormat, "is not a valid png"},
		"text":                  {JPEG, []byte("hello"), WrongFormat, "is not a valid jpeg"},
		"png said to be jpeg":   {JPEG, small, WrongFormat, "is not a valid jpeg: it is a png"},
		"jpeg said to be webp":  {WebP, photo, WrongFormat, "is not a valid webp: it is a jpeg"},
		"sound file":            {WebP, []byte("RIFF\x10\x00\x00\x00WAVEfmt "), WrongFormat, "is not a valid webp"},
		"svg":                   {"svg", []byte("<svg/>"), WrongFormat, "has an unknown format; known are png, jpeg, gif and webp"},
		"png header only":       {PNG, small[:20], Broken, "is not a valid png: it is damaged"},
		"png cut off":           {PNG, small[:len(small)-20], Broken, "is not a valid png: it is damaged"},
		"png flipped byte":      {PNG, flip(small, 40), Broken, "is not a valid png: it is damaged"},
		"jpeg cut off":          {JPEG, photo[:len(photo)/2], Broken, "is not a valid jpeg: it is damaged"},
		"jpeg marker only":      {JPEG, []byte{0xff, 0xd8, 0xff, 0xe0}, Broken, "is not a valid jpeg: it is damaged"},
		"gif cut off":           {GIF, []byte("GIF89a\x05\x00"), Broken, "is not a valid gif: it is damaged"},
		"gif without pixels":    {GIF, []byte("GIF89a\x00\x00\x00\x00\x00\x00\x00;"), Broken, "is not a valid gif: it is damaged"},
		"webp without chunks":   {WebP, []byte("RIFF\x04\x00\x00\x00WEBP"), Broken, "is not a valid webp: it is damaged"},
		"webp cut off":          {WebP, webpOf(riffChunk("VP8L", vp8l(40, 20, color.NRGBA{G: 9}, color.NRGBA{})[:20])), Broken, "is not a valid webp: it is damaged"},
		"empty animation":       {WebP, webpOf(vp8x(0x02, 4, 4), riffChunk("ANMF", make([]byte, 16))), Broken, "is not a valid webp: it is damaged"},
		"too many bytes":        {PNG, append(slices.Clone(small), make([]byte, 3_932_160)...), TooLarge, fmt.Sprintf("has %d bytes; at most 3932160 are allowed", len(small)+3_932_160)},
		"too wide":              {PNG, pngOf(t, image.NewGray(image.Rect(0, 0, 8001, 1))), TooLarge, "has 8001 x 1 pixels; at most 8000 x 8000 are allowed"},
		"too high":              {PNG, pngOf(t, image.NewGray(image.Rect(0, 0, 1, 8001))), TooLarge, "has 1 x 8001 pixels; at most 8000 x 8000 are allowed"},
		"100,000 x 100,000 png": {PNG, slices.Concat([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", []byte{0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0, 8, 2, 0, 0, 0})), TooLarge, "has 100000 x 100000 pixels; at most 8000 x 8000 are allowed"},
		"webp of 30 bytes":      {WebP, webpOf(riffChunk("VP8L", vp8l(16384, 16384, color.NRGBA{}, color.NRGBA{}))), TooLarge, "has 16384 x 16384 pixels; at most 8000 x 8000 are allowed"},
		"lavish progressive":    {JPEG, progressive(8000, 8000, 1), TooLarge, "has 8000 x 8000 pixels in an encoding that takes too much memory; scale it down"},
		"lavish png":            {PNG, slices.Concat([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", []byte{0, 0, 0x1f, 0x40, 0, 0, 0x1f, 0x40, 16, 6, 0, 0, 0})), TooLarge, "has 8000 x 8000 pixels in an encoding that takes too much memory; scale it down"},
		"endless passes":        {JPEG, progressive(1000, 1000, 30_000), Broken, "is not a valid jpeg: it is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := New(Limits{}).Normalize(t.Context(), c.format, c.data)
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Kind != c.kind || e.Message != c.say || out.Data != nil {
				t.Fatalf("got %+v, %v; want kind %d: %s", out, err, c.kind, c.say)
			}
			if !IsKind(err, c.kind) || IsKind(err, 0) || err.Error() != "the image "+c.say {
				t.Errorf("error %q", err)
			}
		})
	}
}

func flip(data []byte, at int) []byte {
	data = slices.Clone(data)
	data[at] ^= 0xff
	return data
}

// heapPeak is the most bytes that the heap has while run runs.
func heapPeak(run func()) uint64 {
	var peak uint64
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapInuse)
			}
		}
	})
	run()
	close(done)
	watch.Wait()
	return peak
}

// TestLargest: the largest pictures that are allowed are read, in bounded time,
// and concurrent ones do not pile up. It runs alone, because it measures memory.
func TestLargest(t *testing.T) {
	if testing.Short() {
		return // takes seconds of processor time
	}
	n := New(Limits{})
	data := pngBomb(t, 8000, 8000, 8)
	start := time.Now()
	peak := heapPeak(func() {
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				out, err := n.Normalize(t.Context(), PNG, data)
				if err != nil || out.Width != 1568 || out.Height != 1568 {
					t.Errorf("%d x %d, %v", out.Width, out.Height, err)
				}
			})
		}
		wg.Wait()
	})
	t.Logf("two pictures of 8,000 x 8,000 in %v, heap %d MB", time.Since(start), peak>>20)
	if peak > 700<<20 {
		t.Errorf("heap of %d MB: they were decoded side by side", peak>>20)
	}
}

// TestLargestMade: the same for pictures to start from, and for those that a server
// made. It runs alone, because it measures memory.
func TestLargestMade(t *testing.T) {
	if testing.Short() {
		return // takes seconds of processor time
	}
	c := NewCanvas(Limits{})
	data := pngBomb(t, 5000, 5000, 8)
	start := time.Now()
	peak := heapPeak(func() {
		var wg sync.WaitGroup
		for i := range 4 {
			r := &llm.PictureRequest{Task: llm.ImageToImage, Width: 2048, Height: 2048, Count: 1, Format: "png", Images: []llm.Media{{Format: "png", Data: data}}}
			wg.Go(func() {
				var err error
				if i%2 == 0 {
					_, err = c.Prepare(t.Context(), r)
				} else {
					_, err = c.Finish(t.Context(), r, [][]byte{data})
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	t.Logf("four pictures of 5,000 x 5,000 in %v, heap %d MB", time.Since(start), peak>>20)
	if peak > 800<<20 {
		t.Errorf("heap of %d MB: they were decoded side by side", peak>>20)
	}
}

// TestWaits: an image waits for the memory that others have, as long as its
// caller does.
func TestWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := New(Limits{Memory: 1 << 20})
		if err := n.memory.Acquire(t.Context(), 1<<20); err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		left, done := make(chan error, 1), make(chan error, 1)
		data := pngOf(t, rgba(16, 16))
		go func() {
			_, err := n.Normalize(ctx, PNG, data)
			left <- err
		}()
		go func() {
			_, err := n.Normalize(t.Context(), PNG, data)
			done <- err
		}()
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the one that left: %v", err)
		}
		n.memory.Release(1 << 20)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// FuzzNormalize: no input panics, hangs, or comes out as something that does not
// decode within the limits.
func FuzzNormalize(f *testing.F) {
	pic := pngOf(f, rgba(16, 16))
	for _, data := range [][]byte{
		pic, slices.Concat(pic[:33], pngChunk("eXIf", exif(binary.BigEndian, 6)), pic[33:]),
		jpegWith(jpegOf(f, rgba(16, 8)), exif(binary.LittleEndian, 5)), progressive(8, 8, 3),
		gifOf(f, 8, 8, paletted(image.Rect(0, 0, 8, 8))), lossy(f),
		webpOf(riffChunk("VP8L", vp8l(9, 5, color.NRGBA{G: 1}, color.NRGBA{}))),
		webpOf(vp8x(0x12, 1, 1), riffChunk("ANMF", slices.Concat(make([]byte, 6), frameSize(1, 1), make([]byte, 4), riffChunk("ALPH", []byte{0, 0xff}), lossy(f)[12:]))),
	} {
		f.Add(data)
	}
	n := New(Limits{Bytes: 1 << 16, Edge: 256, MaxEdge: 32})
	f.Fuzz(func(t *testing.T, data []byte) {
		format := sniff(data)
		if format == "" {
			format = PNG
		}
		out, err := n.Normalize(t.Context(), format, data)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Kind == 0 || strings.TrimSpace(e.Message) == "" {
				t.Fatalf("error %v", err)
			}
			return
		}
		img, err := decode(out.Format, out.Data)
		if err != nil || img.Bounds().Dx() != out.Width || img.Bounds().Dy() != out.Height || max(out.Width, out.Height) > 32 {
			t.Fatalf("came out as %+v, %v", out, err)
		}
	})
}

// FuzzOrientation: the EXIF reader gives 1 to 8 for whatever it meets.
func FuzzOrientation(f *testing.F) {
	f.Add(exif(binary.BigEndian, 6))
	f.Add(exif(binary.LittleEndian, 3))
	f.Add([]byte("II*\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if o := tiffOrientation(data); o < 1 || o > 8 {
			t.Fatalf("orientation %d", o)
		}
	})
}

func BenchmarkNormalize(b *testing.B) {
	n := New(Limits{})
	for name, c := range map[string]struct {
		f    Format
		data []byte
	}{
		"jpeg 4000x3000": {JPEG, jpegOf(b, rgba(4000, 3000))},
		"png 1024x1024":  {PNG, pngOf(b, rgba(1024, 1024))},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := n.Normalize(b.Context(), c.f, c.data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
