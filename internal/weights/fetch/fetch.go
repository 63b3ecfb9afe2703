// Package fetch downloads the files of weights and of the engine over https
// and copies local ones. Downloads resume after cuts and kills, are checked
// against their digest, and are given up when nothing moves.
package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/weights"
)

// Config of a Fetcher. Zero values are the defaults told.
type Config struct {
	// Client makes the requests; servers pass one that is held to their
	// allow-list. nil means one without limits on where it goes, with 15 s to
	// connect and the proxy settings of the environment. Its redirect policy and
	// total time limit are not used.
	Client *http.Client
	// Stall ends a try in which fewer than 4 KiB arrive in this time; 0 means
	// 60 s.
	Stall time.Duration
	// Tries is how often a download may fail in a row; 0 means 6. A try that
	// brings 1 MiB or more begins the count anew.
	Tries int
	// MaxBytes is the largest file; 0 means 1 TiB.
	MaxBytes int64
	// Agent is the User-Agent; "" means "outcrop".
	Agent string
}

const (
	stallBytes  = 4 << 10
	headway     = 1 << 20
	firstWait   = 500 * time.Millisecond // before the second try, then doubled
	longestWait = 30 * time.Second
)

// Fetcher implements weights.Fetcher. It is safe for concurrent use.
type Fetcher struct {
	c Config
}

var _ weights.Fetcher = (*Fetcher)(nil)

// New returns a Fetcher.
func New(c Config) *Fetcher {
	base := c.Client
	if base == nil {
		base = &http.Client{Transport: transport()}
	}
	client := *base
	client.CheckRedirect = redirect
	client.Timeout = 0
	c.Client = &client
	if c.Stall <= 0 {
		c.Stall = 60 * time.Second
	}
	if c.Tries <= 0 {
		c.Tries = 6
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 1 << 40
	}
	if c.Agent == "" {
		c.Agent = "outcrop"
	}
	return &Fetcher{c: c}
}

// Fetch brings the file at p.URL to path; see weights.Fetcher.
//
// Beside path it keeps path+".part", the bytes so far, and path+".json", where
// they came from. Errors wrap weights.ErrDigest, weights.ErrNoSpace or the
// context's error where they apply. They name the address without its query,
// which may be signed.
func (f *Fetcher) Fetch(ctx context.Context, p weights.Part, path string, s weights.Step) (weights.File, error) {
	u, err := url.Parse(p.URL)
	if err != nil {
		return weights.File{}, errors.New("the address of the download is malformed")
	}
	if err := Allowed(u); err != nil {
		return weights.File{}, err
	}
	p.SHA256 = strings.ToLower(p.SHA256)
	t := &transfer{f: f, part: p, url: u, path: path, step: s}
	file, err := t.run(ctx)
	if err != nil {
		return weights.File{}, fmt.Errorf("get %s: %w", show(u), weights.Explain(err, filepath.Dir(path)))
	}
	return file, nil
}

// transfer is one Fetch under way.
type transfer struct {
	f    *Fetcher
	part weights.Part
	url  *url.URL
	path string
	step weights.Step

	out     *os.File
	sum     hash.Hash // over the first done bytes of out
	done    int64
	origin  origin // of the bytes in out
	spliced bool   // out holds bytes of more than one answer
}

// origin tells where the bytes of a partial file came from.
type origin struct {
	URL  string `json:"url"` // without query
	ETag string `json:"etag,omitempty"`
	Size int64  `json:"size,omitempty"`
}

func (t *transfer) run(ctx context.Context) (weights.File, error) {
	if f, ok, err := t.finished(ctx); ok || err != nil {
		return f, err
	}
	if err := t.open(ctx); err != nil {
		return weights.File{}, err
	}
	defer t.out.Close()
	for again := true; ; again = false {
		if err := t.fill(ctx); err != nil {
			return weights.File{}, err
		}
		got := hex.EncodeToString(t.sum.Sum(nil))
		if t.part.SHA256 == "" || got == t.part.SHA256 {
			return t.keep(got)
		}
		// A file put together from several answers may be a mixture of two
		// versions: read it once more from its beginning before giving up.
		whole := !t.spliced
		if err := t.reset(); err != nil {
			return weights.File{}, err
		}
		if whole || !again {
			t.drop()
			return weights.File{}, fmt.Errorf("%w: got %s, want %s", weights.ErrDigest, got, t.part.SHA256)
		}
	}
}

// fill reads until the file is whole.
func (t *transfer) fill(ctx context.Context) error {
	if t.url.Scheme == "file" {
		return t.local(ctx)
	}
	return t.remote(ctx)
}

// finished looks for the whole file from an earlier Fetch.
func (t *transfer) finished(ctx context.Context) (weights.File, bool, error) {
	if t.part.SHA256 == "" {
		return weights.File{}, false, nil
	}
	in, err := os.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return weights.File{}, false, nil
	}
	if err != nil {
		return weights.File{}, false, err
	}
	defer in.Close()
	h := sha256.New()
	n, err := copyBytes(ctx, h, in)
	if err != nil {
		return weights.File{}, false, err
	}
	if hex.EncodeToString(h.Sum(nil)) != t.part.SHA256 {
		return weights.File{}, false, os.Remove(t.path)
	}
	t.step.Total(n)
	t.step.Set(n)
	return weights.File{SHA256: t.part.SHA256, Size: n}, true, nil
}

// open opens the partial file and takes up what an earlier Fetch left in it,
// when that can belong to the same file.
func (t *transfer) open(ctx context.Context) error {
	part := t.path + ".part"
	if info, err := os.Lstat(part); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a plain file", part)
	}
	var err error
	t.out, err = os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o600) // #nosec G304 -- a path of the operator or of the store itself
	if err != nil {
		return err
	}
	t.sum = sha256.New()
	if b, err := os.ReadFile(t.path + ".json"); err == nil {
		if json.Unmarshal(b, &t.origin) != nil {
			t.origin = origin{}
		}
	}
	// Without a digest, only a validator of the same address proves that the
	// rest will fit.
	if t.part.SHA256 == "" && (t.origin.ETag == "" || t.origin.URL != show(t.url)) {
		return t.reset()
	}
	if t.origin.URL != show(t.url) {
		t.origin = origin{}
	}
	t.done, err = copyBytes(ctx, t.sum, t.out)
	if err != nil {
		_ = t.out.Close()
		return err
	}
	t.spliced = t.done > 0
	if t.done > t.f.c.MaxBytes || (t.part.Size > 0 && t.done > t.part.Size) {
		return t.reset()
	}
	t.step.Set(t.done)
	return nil
}

// reset forgets what was read so far.
func (t *transfer) reset() error {
	if err := t.out.Truncate(0); err != nil {
		return err
	}
	if _, err := t.out.Seek(0, io.SeekStart); err != nil {
		return err
	}
	t.sum.Reset()
	t.done = 0
	t.spliced = false
	t.origin = origin{}
	t.step.Set(0)
	return nil
}

// keep gives the whole file its name.
func (t *transfer) keep(sum string) (weights.File, error) {
	if err := t.out.Sync(); err != nil {
		return weights.File{}, err
	}
	if err := t.out.Close(); err != nil {
		return weights.File{}, err
	}
	if err := os.Rename(t.path+".part", t.path); err != nil {
		return weights.File{}, err
	}
	_ = os.Remove(t.path + ".json")
	return weights.File{SHA256: sum, Size: t.done}, nil
}

// drop deletes what was read so far.
func (t *transfer) drop() {
	_ = t.out.Close()
	_ = os.Remove(t.path + ".part")
	_ = os.Remove(t.path + ".json")
}

// note keeps where the bytes come from, before the first of them is written.
func (t *transfer) note(o origin) error {
	if o == t.origin {
		return nil
	}
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if err := os.WriteFile(t.path+".json", b, 0o600); err != nil {
		return err
	}
	t.origin = o
	return nil
}

// Write adds bytes to the file, its digest and the progress.
func (t *transfer) Write(b []byte) (int, error) {
	if t.done+int64(len(b)) > t.f.c.MaxBytes {
		return 0, permanent(fmt.Errorf("the file is larger than %s", weights.Bytes(t.f.c.MaxBytes)))
	}
	n, err := t.out.Write(b)
	t.sum.Write(b[:n])
	t.done += int64(n)
	t.step.Add(int64(n))
	if err != nil {
		return n, permanent(err)
	}
	return n, nil
}

// local copies a file of this machine.
func (t *transfer) local(ctx context.Context) error {
	if err := t.reset(); err != nil {
		return err
	}
	name, err := Local(t.url)
	if err != nil {
		return err
	}
	in, err := os.Open(name) // #nosec G304 -- a path of the operator or of the store itself
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a plain file", name)
	}
	if err := weights.CheckSpace(filepath.Dir(t.path), info.Size()); err != nil {
		return err
	}
	t.step.Total(info.Size())
	_, err = copyBytes(ctx, t, in)
	return err
}

// copyBytes copies until the end of r or of ctx.
func copyBytes(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	buf := make([]byte, 256<<10)
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := r.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return total, werr
			}
			total += int64(n)
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
