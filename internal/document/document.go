// Package document reads the text of documents: what Converse and Anthropic
// bodies carry in document blocks. Documents come from anybody, and the formats
// are made for harm, so all but plain text is read in a process of its own with
// limits on memory and time.
package document

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Format is the format of a document as Converse names it.
type Format string

// The formats of Converse's document block. Source: bedrock-runtime model,
// DocumentFormat. DOC and XLS are known and refused.
const (
	PDF  Format = "pdf"
	CSV  Format = "csv"
	DOC  Format = "doc"
	DOCX Format = "docx"
	XLS  Format = "xls"
	XLSX Format = "xlsx"
	HTML Format = "html"
	TXT  Format = "txt"
	MD   Format = "md"
)

// Kind says why a document was refused.
type Kind int

// The kinds of refusal.
const (
	Broken      Kind = iota + 1 // damaged, cut off, or not text
	Encrypted                   // needs a password
	TooLarge                    // bytes, pages, unpacked bytes, or memory to read it
	TooLong                     // its text, or the time to read it
	WrongFormat                 // not of the format that the caller named
	Unsupported                 // of a format, or with a feature, that is not read
)

// Error refuses a document. It says nothing of paths or libraries.
type Error struct {
	Kind    Kind
	Message string // predicate for people: "is not a valid pdf"; the caller puts "The document at <place>" in front
}

// Error returns a sentence without the place of the document.
func (e *Error) Error() string { return "the document " + e.Message }

// IsKind reports whether err refuses a document for the reason k.
func IsKind(err error, k Kind) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == k
}

func refuse(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

func broken(f Format) *Error { return refuse(Broken, "is not a valid %s: it is damaged", f) }

// Limits of documents and of the work they may cause. Zero fields take their
// defaults.
type Limits struct {
	// Bytes of a document; default 4,718,592 (4.5 MB).
	// Source: Converse API, DocumentBlock: "no more than 4.5 MB".
	Bytes int
	// Pages of a PDF; default 1,000.
	Pages int
	// Text in bytes of UTF-8; default 16 MiB.
	Text int
	// Unpacked in bytes, of all that is inflated; default 256 MiB. It passes
	// through in pieces and is not held at once.
	Unpacked int64
	// Memory in bytes of the reading process; default 256 MiB, least 128 MiB.
	Memory int64
	// Time for one document; default 5 s.
	Time time.Duration
	// Parallel documents being read; default 2. Others wait for their turn.
	Parallel int
	// Command is the program, with its arguments, that calls Child; empty means
	// this program with the one argument Argument.
	Command []string `json:"-"`

	observe func(*os.ProcessState) // tests look at what a reading process used
}

const leastMemory = 128 << 20

func (l Limits) orDefaults() Limits {
	set := func(n *int, d int) {
		if *n <= 0 {
			*n = d
		}
	}
	set(&l.Bytes, 4_718_592)
	set(&l.Pages, 1000)
	set(&l.Text, 16<<20)
	set(&l.Parallel, 2)
	if l.Unpacked <= 0 {
		l.Unpacked = 256 << 20
	}
	if l.Memory <= 0 {
		l.Memory = 256 << 20
	}
	l.Memory = max(l.Memory, leastMemory)
	if l.Time <= 0 {
		l.Time = 5 * time.Second
	}
	return l
}

// Extractor reads documents. It is safe for concurrent use.
type Extractor struct {
	limits Limits
	turns  chan struct{}
}

// New makes an Extractor. It starts nothing.
func New(l Limits) *Extractor {
	l = l.orDefaults()
	l.Command = slices.Clone(l.Command)
	return &Extractor{limits: l, turns: make(chan struct{}, l.Parallel)}
}

// Text returns the text of a document as UTF-8: of a PDF page by page, with a
// blank line between pages; of docx with "# " before headings, "- " or a number
// before list items and footnotes at the end; of xlsx each sheet as "# name" and
// its rows; of html what a reader sees, title first; csv, txt and md as they are.
// Cells of tables are separated by tabs. Pictures are left out, so the text of a
// scan is empty.
//
// Plain text is UTF-8, or UTF-16 with a byte order mark, or else taken for
// Windows-1252. Formats are told by content too: a mismatch is WrongFormat.
//
// Errors: *Error, ctx.Err(), and, when the reading process cannot be started,
// others that no caller must see.
func (e *Extractor) Text(ctx context.Context, f Format, data []byte) (string, error) {
	if len(data) > e.limits.Bytes {
		return "", refuse(TooLarge, "has %d bytes; at most %d are allowed", len(data), e.limits.Bytes)
	}
	if err := check(f, data); err != nil {
		return "", err
	}
	switch f {
	case CSV, TXT, MD:
		return extract(f, data, e.limits)
	}
	select {
	case e.turns <- struct{}{}:
		defer func() { <-e.turns }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	return e.inChild(ctx, f, data)
}

// extract reads a document in this process. What it meets in data may make it
// slow and large, within the limits on text, pages and unpacked bytes.
func extract(f Format, data []byte, l Limits) (text string, err error) {
	out := &output{max: l.Text}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Error:
			text, err = "", r
		default: // a reader met what it was not written for
			text, err = "", broken(f)
		}
	}()
	switch f {
	case PDF:
		readPDF(data, l, out)
	case DOCX:
		readDOCX(data, l, out)
	case XLSX:
		readXLSX(data, l, out)
	case HTML:
		readHTML(data, out)
	default:
		out.text(decodeText(f, data))
	}
	return out.String(), nil
}

// output collects text up to a limit. The readers below it end by panicking with
// an *Error, which extract turns back.
type output struct {
	b   []byte
	max int // bytes
}

func (o *output) text(s string) {
	if len(s) > o.max-len(o.b) {
		panic(refuse(TooLong, "has more than %d bytes of text", o.max))
	}
	o.b = append(o.b, s...)
}

func (o *output) String() string { return string(o.b) }
