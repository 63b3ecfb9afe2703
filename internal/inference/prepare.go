package inference

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/document"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/picture"
	"github.com/outcrop/outcrop/internal/toolcall"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Documents tells the text of documents. document.Extractor implements it.
type Documents interface {
	Text(ctx context.Context, f document.Format, data []byte) (string, error)
}

// Pictures makes images ready for the engine. picture.Normalizer implements it.
type Pictures interface {
	Normalize(ctx context.Context, f picture.Format, data []byte) (picture.Image, error)
}

// Objects reads objects of an account. object.Store implements it.
type Objects interface {
	Get(ctx context.Context, account string, ref object.Ref) (io.ReadCloser, object.Info, error)
}

// Limits on the media of one request. Source: Converse API, Message.
const (
	MaxImages        = 20
	MaxImageBytes    = 3_932_160 // 3.75 MB
	MaxDocuments     = 5
	MaxDocumentBytes = 4_718_592 // 4.5 MB
	// MaxObjectBytes bounds what all s3:// addresses of a request bring together:
	// as much as the body of a request may have.
	MaxObjectBytes = 25_000_000
	// maxText bounds the text of all documents of a request, in bytes, where the
	// weights do not tell how much text a token can be.
	maxText = 32 << 20
)

// prepared is a request on its way to the engine.
type prepared struct {
	whole    *llm.Request // the caller's, with media read
	req      *llm.Request // what the engine gets; nobody else's
	raise    toolcall.Raise
	template toolcall.Template
	prefix   int  // tokens in front of the cache point; 0: none is cached
	forces   bool // engine.Info.Forces
}

// prepare reads media and brings tools to the weights, which take limit tokens
// at most. r is not changed.
func (s *Service) prepare(ctx context.Context, c *call.Call, t engine.Target, limit int, r *llm.Request) (*prepared, error) {
	p := &prepared{whole: r}
	m := media{Service: s, ctx: ctx, account: c.Principal.Account}
	m.count(r)
	if m.images+m.documents > 0 || usesTools(r) || r.Format != nil {
		info, err := s.cfg.Engine.Info(ctx, t)
		if err != nil {
			return nil, err
		}
		m.sees, p.template = info.Images, toolcall.Template(info.Tools)
		m.limit, m.tokenBytes, p.forces = limit, info.TokenBytes, info.Forces
	}
	if m.images+m.documents > 0 {
		var err error
		if p.whole, err = m.read(r); err != nil {
			return nil, err
		}
	}
	if p.forces {
		req := *p.whole // MaxTokens is set in it
		p.req = &req
		return p, nil
	}
	lowered, raise, err := toolcall.Lower(p.whole, p.template)
	if err != nil {
		return nil, err
	}
	req := *lowered // MaxTokens is set in it
	p.req, p.raise = &req, raise
	return p, nil
}

func usesTools(r *llm.Request) bool {
	return len(r.Tools) > 0 || slices.ContainsFunc(r.Messages, func(m llm.Message) bool {
		return slices.ContainsFunc(m.Content, func(b llm.Block) bool { return b.Kind == llm.ToolCall || b.Kind == llm.ToolResult })
	})
}

// media reads the images and documents of one request.
type media struct {
	*Service
	ctx               context.Context
	account           string
	images, documents int
	sees              bool // the weights see images
	fetched           int  // bytes of objects
	limit             int  // tokens that the weights take
	tokenBytes        int  // see engine.Info
	text              int  // bytes of the documents so far
}

func (m *media) count(r *llm.Request) {
	for i := range r.Messages {
		m.countIn(r.Messages[i].Content)
	}
}

func (m *media) countIn(blocks []llm.Block) {
	for i := range blocks {
		switch b := &blocks[i]; {
		case b.Kind == llm.Image:
			m.images++
		case b.Kind == llm.Document:
			m.documents++
		case b.Kind == llm.ToolResult && b.Result != nil:
			m.countIn(b.Result.Content)
		}
	}
}

// read is r with its media read.
func (m *media) read(r *llm.Request) (*llm.Request, error) {
	switch {
	case m.images > MaxImages:
		return nil, apierr.Validation("You can't include more than %d images in a request.", MaxImages)
	case m.documents > MaxDocuments:
		return nil, apierr.Validation("You can't include more than %d documents in a request.", MaxDocuments)
	}
	out := *r
	out.Messages = slices.Clone(r.Messages)
	if m.images > 0 && !m.sees { // said before anything is fetched
		for i := range r.Messages {
			if err := blind(r.Messages[i].Content); err != nil {
				return nil, err
			}
		}
	}
	for i := range out.Messages {
		content, err := m.blocks(out.Messages[i].Content)
		if err != nil {
			return nil, err
		}
		out.Messages[i].Content = content
	}
	return &out, nil
}

// blind refuses the first image.
func blind(blocks []llm.Block) error {
	for i := range blocks {
		switch b := &blocks[i]; {
		case b.Kind == llm.Image:
			at := ""
			if b.Media != nil && b.Media.Place != "" {
				at = " that you provided at " + b.Media.Place
			}
			return apierr.Validation("This model doesn't support the image content block%s. Remove the content block and try again.", at)
		case b.Kind == llm.ToolResult && b.Result != nil:
			if err := blind(b.Result.Content); err != nil {
				return err
			}
		}
	}
	return nil
}

// blocks returns the blocks with their media read: one block for each, so that
// marks keep their places. Blocks without media come back as they are.
func (m *media) blocks(in []llm.Block) ([]llm.Block, error) {
	var out []llm.Block
	for i := range in {
		b := in[i]
		var err error
		switch {
		case b.Kind == llm.Image && b.Media != nil:
			b.Media, err = m.image(b.Media)
		case b.Kind == llm.Document && b.Media != nil:
			b, err = m.document(b.Media)
		case b.Kind == llm.ToolResult && b.Result != nil:
			result := *b.Result
			result.Content, err = m.blocks(result.Content)
			b.Result = &result
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = slices.Clone(in)
		}
		out[i] = b
	}
	if out == nil {
		return in, nil
	}
	return out, nil
}

func (m *media) image(in *llm.Media) (*llm.Media, error) {
	if m.cfg.Pictures == nil {
		return nil, apierr.Validation("The image at %s cannot be read: this server reads no images.", in.Place)
	}
	data, err := m.data("image", in, MaxImageBytes)
	if err != nil {
		return nil, err
	}
	img, err := m.cfg.Pictures.Normalize(m.ctx, picture.Format(in.Format), data)
	if refused, ok := errors.AsType[*picture.Error](err); ok {
		return nil, apierr.Validation("The image at %s %s.", in.Place, refused.Message).WithCause(err)
	}
	if err != nil {
		return nil, fmt.Errorf("normalise an image: %w", err)
	}
	return &llm.Media{Format: string(img.Format), Data: img.Data, Name: in.Name, Place: in.Place}, nil
}

func (m *media) document(in *llm.Media) (llm.Block, error) {
	text := in.Text
	if text == "" {
		data, err := m.data("document", in, MaxDocumentBytes)
		if err != nil {
			return llm.Block{}, err
		}
		if m.cfg.Documents == nil {
			return llm.Block{}, apierr.Validation("The document at %s cannot be read: this server reads text only.", in.Place)
		}
		text, err = m.cfg.Documents.Text(m.ctx, document.Format(in.Format), data)
		if refused, ok := errors.AsType[*document.Error](err); ok {
			return llm.Block{}, apierr.Validation("The document at %s %s.", in.Place, refused.Message).WithCause(err)
		}
		if err != nil {
			return llm.Block{}, fmt.Errorf("read a document of format %s: %w", in.Format, err)
		}
	}
	text = framed(in, text)
	if err := m.fits(len(text), in.Place); err != nil {
		return llm.Block{}, err
	}
	return llm.Block{Kind: llm.Text, Text: text}, nil
}

// fits refuses documents as soon as their texts cannot fit, whatever their tokens
// are: a small file may hold a large text, which would lie in memory while the
// ones behind it wait to be read.
func (m *media) fits(size int, place string) error {
	m.text += size
	switch {
	case m.tokenBytes < 1 || m.limit < 1:
		if m.text > maxText {
			return apierr.Validation("Input is too long for requested model. The documents up to the one at %s have %d bytes of text; all together may have at most %d.", place, m.text, maxText)
		}
	case m.text/m.tokenBytes > m.limit:
		return apierr.Validation("Input is too long for requested model. The documents up to the one at %s have at least %d tokens; all input together may have at most %d.", place, m.text/m.tokenBytes, m.limit)
	}
	return nil
}

// data is what a medium holds, at most limit bytes.
func (m *media) data(kind string, in *llm.Media, limit int) ([]byte, error) {
	if in.URI == "" {
		if len(in.Data) > limit {
			return nil, apierr.Validation("The %s at %s has %d bytes; it may have at most %d.", kind, in.Place, len(in.Data), limit)
		}
		return in.Data, nil
	}
	if m.cfg.Objects == nil {
		return nil, apierr.Validation("The %s at %s stands at an s3:// address, and this server has no object store.", kind, in.Place)
	}
	ref, err := object.ParseURI(in.URI)
	if err == nil {
		err = object.CheckKey(ref.Key)
	}
	if err != nil {
		return nil, apierr.Validation("The s3Location of the %s at %s is not the address of an object (s3://bucket/key).", kind, in.Place).WithCause(err)
	}
	from, info, err := m.cfg.Objects.Get(m.ctx, m.account, ref)
	switch {
	case errors.Is(err, object.ErrNotFound), errors.Is(err, object.ErrNoBucket):
		return nil, apierr.Validation("The s3Location of the %s at %s names an object that does not exist in this account.", kind, in.Place).WithCause(err)
	case err != nil:
		return nil, fmt.Errorf("read an object: %w", err)
	}
	defer from.Close() // read only
	if info.Size > int64(limit) {
		return nil, apierr.Validation("The %s at %s has %d bytes; it may have at most %d.", kind, in.Place, info.Size, limit)
	}
	if m.fetched += int(info.Size); m.fetched > MaxObjectBytes {
		return nil, apierr.Validation("The objects that the request names have more than %d bytes together, at %s.", MaxObjectBytes, in.Place)
	}
	data, err := io.ReadAll(io.LimitReader(from, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("read an object: %w", err)
	}
	return data, nil
}

// framed is a document as the weights read it: between tags that its own text
// cannot close.
func framed(in *llm.Media, text string) string {
	inside := func(s string) string { return strings.ReplaceAll(s, "</document", "<\u200b/document") }
	attribute := strings.NewReplacer(`"`, "'", "\n", " ", "<", "", ">", "")
	var b strings.Builder
	b.Grow(len(text) + len(in.Context) + 128)
	b.WriteString("<document")
	if in.Name != "" {
		b.WriteString(` name="` + attribute.Replace(in.Name) + `"`)
	}
	if in.Format != "" {
		b.WriteString(` format="` + attribute.Replace(in.Format) + `"`)
	}
	b.WriteString(">\n")
	if in.Context != "" {
		b.WriteString("About this document: " + inside(in.Context) + "\n\n")
	}
	b.WriteString(inside(strings.TrimRight(text, "\n")))
	b.WriteString("\n</document>")
	return b.String()
}
