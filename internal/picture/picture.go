// Package picture makes the images of messages ready for an engine: checked,
// decoded under limits, upright, small enough, without metadata.
package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"strings"

	"golang.org/x/image/webp"
	"golang.org/x/sync/semaphore"
)

// Format is the format of an image as Converse names it.
type Format string

// The formats of Converse's image block. Source: bedrock-runtime model,
// ImageFormat.
const (
	PNG  Format = "png"
	JPEG Format = "jpeg"
	GIF  Format = "gif"
	WebP Format = "webp"
)

// Kind says why an image was refused.
type Kind int

// The kinds of refusal.
const (
	Broken      Kind = iota + 1 // damaged, or cut off
	WrongFormat                 // not of the format that the caller named
	TooLarge                    // bytes, edges, or memory to decode it
)

// Error refuses an image. It says nothing of paths or libraries.
type Error struct {
	Kind    Kind
	Message string // predicate for people: "is not a valid png"; the caller puts "The image at <place>" in front
}

// Error returns a sentence without the place of the image.
func (e *Error) Error() string { return "the image " + e.Message }

func refuse(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Limits of images. Zero fields take their defaults.
type Limits struct {
	// Bytes of the encoded image; default 3,932,160 (3.75 MB).
	// Source: Converse API, ImageBlock: "maximum 3.75 MB, 8,000 px each side".
	Bytes int
	// Edge in pixels, of either side as it comes; default 8,000. Same source.
	Edge int
	// MaxEdge in pixels, of the longer side as it goes to the engine; larger
	// images are scaled down. Default 1,568, where Claude scales down too.
	// Source: Anthropic's vision guide, "Evaluate image size".
	MaxEdge int
	// Memory in bytes that decoding may take, of one image and of all at a time;
	// default 400 MiB, which 8,000 by
	// 8,000 pixels need in all but the most lavish encodings (16 bits a channel,
	// progressive without subsampling).
	Memory int64
}

func (l Limits) orDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 3_932_160
	}
	if l.Edge <= 0 {
		l.Edge = 8000
	}
	if l.MaxEdge <= 0 {
		l.MaxEdge = 1568
	}
	if l.Memory <= 0 {
		l.Memory = 400 << 20
	}
	return l
}

// Normalizer makes images ready. It is safe for concurrent use; all images that
// one of them decodes at a time take Limits.Memory together, others wait.
type Normalizer struct {
	limits Limits
	memory *semaphore.Weighted // bytes
}

// New makes a Normalizer.
func New(l Limits) *Normalizer {
	l = l.orDefaults()
	return &Normalizer{limits: l, memory: semaphore.NewWeighted(l.Memory)}
}

// Image is an image that any engine can read: 8 bits a channel, red, green and
// blue or grey, without transparency and metadata.
type Image struct {
	Format        Format // JPEG when it came as one, else PNG
	Data          []byte
	Width, Height int // pixels
}

// Normalize checks that data is an image of format f within the limits, turns it
// as its EXIF orientation says, takes the first frame of an animation, puts
// transparent pixels on white, scales it down to Limits.MaxEdge, and encodes it
// anew. So an engine's decoder never reads bytes that a caller chose. Colour
// profiles are ignored. Errors are *Error, and that of ctx when it ends while
// other images have the memory.
func (n *Normalizer) Normalize(ctx context.Context, f Format, data []byte) (img Image, err error) {
	if len(data) > n.limits.Bytes {
		return Image{}, refuse(TooLarge, "has %d bytes; at most %d are allowed", len(data), n.limits.Bytes)
	}
	switch actual := sniff(data); {
	case f != PNG && f != JPEG && f != GIF && f != WebP:
		return Image{}, refuse(WrongFormat, "has an unknown format; known are png, jpeg, gif and webp")
	case actual == "":
		return Image{}, refuse(WrongFormat, "is not a valid %s", f)
	case actual != f:
		return Image{}, refuse(WrongFormat, "is not a valid %s: it is a %s", f, actual)
	}
	defer func() {
		if recover() != nil { // a decoder met what it was not written for
			img, err = Image{}, broken(f)
		}
	}()
	return n.normalize(ctx, f, data)
}

func broken(f Format) *Error { return refuse(Broken, "is not a valid %s: it is damaged", f) }

func (n *Normalizer) normalize(ctx context.Context, f Format, data []byte) (Image, error) {
	s, err := look(f, data, n.limits.Edge)
	if err != nil {
		return Image{}, err
	}
	if s.need > n.limits.Memory {
		return Image{}, refuse(TooLarge, "has %d x %d pixels in an encoding that takes too much memory; scale it down", s.width, s.height)
	}
	small := 2 * 4 * int64(min(s.width, n.limits.MaxEdge)) * int64(min(s.height, n.limits.MaxEdge)) // scaled down, and turned
	take := min(s.need+small, n.limits.Memory)
	if err := n.memory.Acquire(ctx, take); err != nil {
		return Image{}, err
	}
	defer n.memory.Release(take)
	src, err := decode(f, s.data)
	if err != nil {
		return Image{}, broken(f)
	}
	return encode(f, turn(shrink(src, image.Rect(0, 0, s.width, s.height), n.limits.MaxEdge), s.turned))
}

// seen is what a picture tells before it is decoded.
type seen struct {
	data          []byte // of its first frame
	turned        orientation
	width, height int   // pixels, before it is turned; at least 1
	need          int64 // bytes of memory to decode it
}

// look reads what a picture tells of itself. Errors: Broken; TooLarge for an edge of
// more pixels than edge.
func look(f Format, data []byte, edge int) (seen, error) {
	s := seen{data: data, turned: upright}
	switch f {
	case JPEG:
		s.turned = jpegOrientation(data)
	case PNG:
		s.turned = pngOrientation(data)
	case WebP:
		s.turned = webpOrientation(data)
		s.data = firstFrame(data)
	}
	cfg, err := decodeConfig(f, s.data)
	if err != nil || cfg.Width <= 0 || cfg.Height <= 0 {
		return seen{}, broken(f)
	}
	if max(cfg.Width, cfg.Height) > edge {
		return seen{}, refuse(TooLarge, "has %d x %d pixels; at most %d x %d are allowed", cfg.Width, cfg.Height, edge, edge)
	}
	need, ok := decodeMemory(f, s.data, cfg)
	if !ok {
		return seen{}, broken(f)
	}
	s.width, s.height, s.need = cfg.Width, cfg.Height, need
	return s, nil
}

func decodeConfig(f Format, data []byte) (image.Config, error) {
	r := bytes.NewReader(data)
	switch f {
	case PNG:
		return png.DecodeConfig(r)
	case JPEG:
		return jpeg.DecodeConfig(r)
	case GIF:
		return gif.DecodeConfig(r)
	}
	return webp.DecodeConfig(r)
}

func decode(f Format, data []byte) (image.Image, error) {
	r := bytes.NewReader(data)
	switch f {
	case PNG:
		return png.Decode(r)
	case JPEG:
		return jpeg.Decode(r)
	case GIF:
		return gif.Decode(r)
	}
	return webp.Decode(r)
}

// quality of JPEG, 1..100. At 95 a second encoding is not seen.
const quality = 95

func encode(f Format, img *image.RGBA) (Image, error) {
	var b bytes.Buffer
	out := Image{Format: PNG, Width: img.Rect.Dx(), Height: img.Rect.Dy()}
	if f == JPEG {
		out.Format = JPEG
	}
	if err := encodeTo(&b, out.Format, img); err != nil {
		return Image{}, fmt.Errorf("encode image: %w", err)
	}
	out.Data = b.Bytes()
	return out, nil
}

func encodeTo(w io.Writer, f Format, img *image.RGBA) error {
	if f == JPEG {
		return jpeg.Encode(w, img, &jpeg.Options{Quality: quality})
	}
	return encodePNG(w, img)
}

func encodePNG(w io.Writer, img image.Image) error {
	return (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(w, img)
}

// sniff tells the format by the first bytes; "" when it is none of ours.
func sniff(data []byte) Format {
	s := string(data[:min(len(data), 16)])
	switch {
	case strings.HasPrefix(s, "\x89PNG\r\n\x1a\n"):
		return PNG
	case strings.HasPrefix(s, "\xff\xd8\xff"):
		return JPEG
	case strings.HasPrefix(s, "GIF87a"), strings.HasPrefix(s, "GIF89a"):
		return GIF
	case strings.HasPrefix(s, "RIFF") && len(s) >= 12 && s[8:12] == "WEBP":
		return WebP
	}
	return ""
}

// IsKind reports whether err refuses an image for the reason k.
func IsKind(err error, k Kind) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == k
}
