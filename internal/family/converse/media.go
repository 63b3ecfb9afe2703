package converse

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// Limits of one request. Source: API reference of Message; the sizes are those of
// the files, not of their base64.
const (
	maxImages        = 20
	maxImageBytes    = 3_932_160 // 3.75 MiB
	maxDocuments     = 5
	maxDocumentBytes = 4_718_592 // 4.5 MiB
)

func (rd *reader) image(in *rt.ImageBlock, place string) (llm.Block, error) {
	if rd.images++; rd.images > maxImages {
		return llm.Block{}, apierr.Validation("You can't include more than %d images in a request.", maxImages)
	}
	if in.Format == nil || in.Source == nil {
		return llm.Block{}, apierr.Validation("The image content block at %s must have a format and a source.", place)
	}
	m := &llm.Media{Format: string(*in.Format), Place: place}
	switch src := in.Source; {
	case len(src.Bytes) > 0:
		if len(src.Bytes) > maxImageBytes {
			return llm.Block{}, tooLarge("image", place, len(src.Bytes), maxImageBytes)
		}
		m.Data = src.Bytes
	case src.S3Location != nil && src.S3Location.Uri != nil:
		m.URI = *src.S3Location.Uri
	default:
		return llm.Block{}, mustSet("ImageSource", place+".image.source", "bytes, s3Location")
	}
	return llm.Block{Kind: llm.Image, Media: m}, nil
}

func tooLarge(what, place string, n, most int) error {
	return apierr.Validation("The %s at %s has %d bytes. It can have at most %d bytes. Reduce its size and try again.", what, place, n, most)
}

// document reads a document. That its citations are wanted is accepted: the
// weights here make none.
func (rd *reader) document(in *rt.DocumentBlock, place string) (llm.Block, error) {
	if len(rd.documents) == maxDocuments {
		return llm.Block{}, apierr.Validation("You can't include more than %d documents in a request.", maxDocuments)
	}
	if in.Name == nil || in.Source == nil {
		return llm.Block{}, apierr.Validation("The document content block at %s must have a name and a source.", place)
	}
	if !documentName(*in.Name) {
		return llm.Block{}, apierr.Validation("The document file name can only contain alphanumeric characters, whitespace characters, hyphens, parentheses, and square brackets. The name can't contain more than one consecutive whitespace character. Check that the file name conforms to these restrictions and retry your request.")
	}
	if slices.Contains(rd.documents, *in.Name) {
		return llm.Block{}, apierr.Validation("Messages can't contain duplicate document names. Rename the document and retry your request.")
	}
	rd.documents = append(rd.documents, *in.Name)
	m := &llm.Media{Name: *in.Name, Context: text(in.Context), Place: place}
	if in.Format != nil {
		m.Format = string(*in.Format)
	}
	if err := source(m, in.Source); err != nil {
		return llm.Block{}, err
	}
	return llm.Block{Kind: llm.Document, Media: m}, nil
}

// source reads where a document's content is.
func source(m *llm.Media, src *rt.DocumentSource) error {
	size := 0
	switch {
	case len(src.Bytes) > 0:
		m.Data, size = src.Bytes, len(src.Bytes)
	case src.S3Location != nil && src.S3Location.Uri != nil:
		m.URI = *src.S3Location.Uri
	case src.Text != nil:
		m.Text, size = *src.Text, len(*src.Text)
	case len(src.Content) > 0:
		parts := make([]string, len(src.Content))
		for i := range src.Content {
			parts[i] = text(src.Content[i].Text)
		}
		m.Text = strings.Join(parts, "\n")
		size = len(m.Text)
	default:
		return mustSet("DocumentSource", m.Place+".document.source", "bytes, s3Location, text, content")
	}
	if size > maxDocumentBytes {
		return tooLarge("document", m.Place, size, maxDocumentBytes)
	}
	if m.Data == nil && m.URI == "" {
		if strings.TrimSpace(m.Text) == "" {
			return apierr.Validation("The text of the document at %s is blank. Add text to the document, and try again.", m.Place)
		}
		if m.Format == "" {
			m.Format = string(rt.DocumentFormatTxt)
		}
	}
	if m.Format == "" {
		return apierr.Validation("The document content block at %s must have a format.", m.Place)
	}
	return nil
}

// documentName reports whether a document may have this name. Underscores are
// not in the API's list but the service takes them.
func documentName(s string) bool {
	space := false
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-()[]_", c) >= 0:
			space = false
		case c == ' ' || '\t' <= c && c <= '\r':
			if space {
				return false
			}
			space = true
		default:
			return false
		}
	}
	return s != ""
}

// results reads what a tool answered.
func (rd *reader) results(in []rt.ToolResultContentBlock, place string) ([]llm.Block, error) {
	out := make([]llm.Block, 0, len(in))
	for k := range in {
		b := &in[k]
		at := fmt.Sprintf("%s.toolResult.content.%d", place, k)
		var block llm.Block
		var err error
		switch {
		case b.Json != nil:
			v, ok := object(b.Json)
			if !ok {
				return nil, notObject(at + ".json")
			}
			block = llm.Block{Kind: llm.Text, Text: string(v.JSON())}
		case b.Text != nil:
			block, err = rd.text(b.Text, "ToolResultContentBlock", at)
		case b.Image != nil:
			block, err = rd.image(b.Image, at)
		case b.Document != nil:
			block, err = rd.document(b.Document, at)
		case b.SearchResult != nil:
			block, err = searchResult(b.SearchResult, at)
		case b.Video != nil:
			err = unsupported("video", at)
		default:
			err = mustSet("ToolResultContentBlock", at, "json, text, image, document, video, searchResult")
		}
		if err != nil {
			return nil, err
		}
		out = append(out, block)
	}
	return out, nil
}
