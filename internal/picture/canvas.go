package picture

import (
	"bytes"
	"cmp"
	"context"
	"image"
	"image/color"
	"image/draw"
	"math"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/sync/semaphore"

	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Limits of pictures that are made, and of those that they are made from.
// Source: Amazon Nova user guide, "Image generation": 320 to 4,096 pixels a side,
// 4.19 million pixels; Stability's bodies take 64 pixels a side.
const (
	MinSide   = 64      // pixels
	MaxSide   = 4096    // pixels
	MaxPixels = 4 << 20 // 4,194,304
	// maxMade bounds one picture of an engine, in bytes as it comes.
	maxMade = 48 << 20
)

// Canvas makes requests for pictures ready for any engine, and what engines made
// ready for callers. It is safe for concurrent use; all that it decodes at a time
// takes Limits.Memory together, others wait.
type Canvas struct {
	limits Limits
	memory *semaphore.Weighted // bytes
}

// NewCanvas makes a Canvas. Bytes, Edge and Memory of the limits count.
func NewCanvas(l Limits) *Canvas {
	if l.Bytes <= 0 {
		l.Bytes = 25_000_000 // of a body
	}
	l = l.orDefaults()
	return &Canvas{limits: l, memory: semaphore.NewWeighted(l.Memory)}
}

// Prepare returns r as an engine gets it. Every picture is checked and encoded
// anew, as an opaque PNG; the first one of a task that changes it has the size of
// the result, from its middle, and no other has more than MaxPixels. For Inpaint and
// Outpaint Mask is set, of the same size, in black and white: what is black is
// changed, and KeepMask is false. Width and Height are set. r is not changed.
//
// Errors are ValidationException, which names the place of a picture, and that of
// ctx.
func (c *Canvas) Prepare(ctx context.Context, r *llm.PictureRequest) (*llm.PictureRequest, error) {
	out := *r
	out.Images, out.Mask = nil, nil
	if len(r.Images) == 0 {
		return &out, possible(out.Width, out.Height)
	}
	var first *image.RGBA
	for i := range r.Images {
		img, err := c.open(ctx, &r.Images[i], func(w, h int) (int, int, error) {
			if i > 0 {
				w, h = within(w, h)
				return w, h, nil
			}
			out.Width, out.Height = cmp.Or(r.Width, w), cmp.Or(r.Height, h)
			if err := possible(out.Width, out.Height); err != nil || changes(r.Task) {
				return out.Width, out.Height, err
			}
			w, h = within(w, h)
			return w, h, nil
		})
		if err != nil {
			return nil, err
		}
		if i == 0 {
			first = img
		}
		m, err := pngMedia(opaque(img), r.Images[i].Place)
		if err != nil {
			return nil, err
		}
		out.Images = append(out.Images, *m)
	}
	if r.Task != llm.Inpaint && r.Task != llm.Outpaint || r.Mask == nil && r.MaskPrompt != "" {
		return &out, nil
	}
	mask, place := alphaMask(first), r.Images[0].Place
	if r.Mask != nil {
		img, err := c.open(ctx, r.Mask, func(int, int) (int, int, error) { return out.Width, out.Height, nil })
		if err != nil {
			return nil, err
		}
		mask, place = darkMask(opaque(img), r.KeepMask), r.Mask.Place
	}
	var err error
	out.Mask, err = pngMedia(mask, place)
	out.KeepMask = false
	return &out, err
}

// possible refuses sizes that cannot be made.
func possible(w, h int) error {
	if min(w, h) < MinSide || max(w, h) > MaxSide || w*h > MaxPixels {
		return apierr.Validation("width and height: a picture of %dx%d pixels cannot be made; each side takes %d to %d pixels, and both together at most %d.", w, h, MinSide, MaxSide, MaxPixels)
	}
	return nil
}

// within is w by h pixels in small, when they are more than MaxPixels.
func within(w, h int) (int, int) {
	if w*h <= MaxPixels {
		return w, h
	}
	by := math.Sqrt(float64(MaxPixels) / float64(w*h))
	return max(1, int(float64(w)*by)), max(1, int(float64(h)*by))
}

// changes reports whether a task changes its first picture.
func changes(t llm.PictureTask) bool {
	switch t {
	case llm.ImageToImage, llm.Inpaint, llm.Outpaint, llm.Variation:
		return true
	}
	return false
}

// open decodes a picture of a caller, upright and with its transparency, in the size
// that fit tells.
func (c *Canvas) open(ctx context.Context, m *llm.Media, fit func(w, h int) (int, int, error)) (*image.RGBA, error) {
	img, err := c.decode(ctx, m.Data, c.limits.Bytes, fit)
	if e, ok := err.(*Error); ok {
		return nil, apierr.Validation("The image at %s %s.", m.Place, e.Message)
	}
	return img, err
}

// Finish returns the pictures that an engine made for r, a request of Prepare, in
// r.Format and exactly r.Width by r.Height pixels: one of another size is scaled,
// and what overhangs is cut off evenly. Metadata is left out. PNG keeps
// transparency, the other formats show it as white.
//
// Errors are *Error for what is no picture, and that of ctx.
func (c *Canvas) Finish(ctx context.Context, r *llm.PictureRequest, made [][]byte) ([][]byte, error) {
	out := make([][]byte, len(made))
	for i, data := range made {
		img, err := c.decode(ctx, data, maxMade, func(int, int) (int, int, error) { return r.Width, r.Height, nil })
		if err != nil {
			return nil, err
		}
		if out[i], err = encodeMade(Format(r.Format), img); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func encodeMade(f Format, img *image.RGBA) ([]byte, error) {
	if f == WebP {
		return encodeWebP(opaque(img)), nil
	}
	var b bytes.Buffer
	if f == JPEG {
		img = opaque(img)
	}
	err := encodeTo(&b, f, img)
	return b.Bytes(), err
}

// decode decodes a picture of any of our formats within the limits, and scales it to
// the size that fit tells of its own, MaxPixels at most. All that is larger is gone, and
// its memory given back, when it returns.
func (c *Canvas) decode(ctx context.Context, data []byte, most int, fit func(w, h int) (int, int, error)) (img *image.RGBA, err error) {
	f := sniff(data)
	switch {
	case len(data) > most:
		return nil, refuse(TooLarge, "has %d bytes; at most %d are allowed", len(data), most)
	case f == "":
		return nil, refuse(WrongFormat, "is no png, jpeg, gif or webp")
	}
	defer func() {
		if recover() != nil { // a decoder met what it was not written for
			img, err = nil, broken(f)
		}
	}()
	s, err := look(f, data, c.limits.Edge)
	if err != nil {
		return nil, err
	}
	need := s.need + 2*4*int64(s.width)*int64(s.height) // as RGBA, and turned
	if need > c.limits.Memory {
		return nil, refuse(TooLarge, "has %d x %d pixels, which take too much memory; scale it down", s.width, s.height)
	}
	take := min(need+4*MaxPixels, c.limits.Memory)
	if err := c.memory.Acquire(ctx, take); err != nil {
		return nil, err
	}
	defer c.memory.Release(take)
	src, err := decode(f, s.data)
	if err != nil {
		return nil, broken(f)
	}
	img = image.NewRGBA(image.Rect(0, 0, s.width, s.height))
	draw.Draw(img, img.Rect, src, src.Bounds().Min, draw.Src)
	img = turn(img, s.turned)
	w, h, err := fit(img.Rect.Dx(), img.Rect.Dy())
	if err != nil {
		return nil, err
	}
	return cover(img, w, h), nil
}

// cover is img at w by h pixels: scaled until it covers them, and cut off evenly
// on both sides.
func cover(img *image.RGBA, w, h int) *image.RGBA {
	iw, ih := img.Rect.Dx(), img.Rect.Dy()
	if iw == w && ih == h {
		return img
	}
	part := img.Rect
	if iw*h > ih*w { // too wide
		n := max(1, ih*w/h)
		part.Min.X = (iw - n) / 2
		part.Max.X = part.Min.X + n
	} else {
		n := max(1, iw*h/w)
		part.Min.Y = (ih - n) / 2
		part.Max.Y = part.Min.Y + n
	}
	if part.Dx() > w || part.Dy() > h {
		return average(img, part, w, h, false)
	}
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	xdraw.ApproxBiLinear.Scale(out, out.Rect, img, part, xdraw.Src, nil) // needs no memory beside the two
	return out
}

// opaque is img on white.
func opaque(img *image.RGBA) *image.RGBA {
	if img.Opaque() {
		return img
	}
	out := image.NewRGBA(img.Rect)
	draw.Draw(out, out.Rect, image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(out, out.Rect, img, img.Rect.Min, draw.Over)
	return out
}

// alphaMask is black where img is more transparent than not.
func alphaMask(img *image.RGBA) *image.Gray {
	out := image.NewGray(img.Rect)
	for i := range out.Pix {
		if img.Pix[4*i+3] >= 0x80 {
			out.Pix[i] = 0xff
		}
	}
	return out
}

// darkMask is black where img is dark, or light when invert says so, and white
// elsewhere.
func darkMask(img *image.RGBA, invert bool) *image.Gray {
	out := image.NewGray(img.Rect)
	for i := range out.Pix {
		p := img.Pix[4*i : 4*i+3]
		dark := int(p[0])+int(p[1])+int(p[2]) < 3*0x80
		if dark == invert {
			out.Pix[i] = 0xff
		}
	}
	return out
}

func pngMedia(img image.Image, place string) (*llm.Media, error) {
	var b bytes.Buffer
	if err := encodePNG(&b, img); err != nil {
		return nil, err
	}
	return &llm.Media{Format: string(PNG), Data: b.Bytes(), Place: place}, nil
}
