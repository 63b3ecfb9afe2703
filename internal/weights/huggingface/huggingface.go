// Package huggingface takes weights from a repository of a Hugging Face hub.
//
// The hub is asked for one file of one repository; its answer pins the commit
// and tells the sha256 that git-lfs keeps for the file, so even "main" is
// downloaded as one exact, checked file.
package huggingface

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/weights"
)

// DefaultEndpoint is the public hub, which its own tools use too when
// HF_ENDPOINT is not set.
const DefaultEndpoint = "https://huggingface.co"

// Storage are the hosts that the public hub sends downloads to, as entries of an
// allow-list.
// Source: Hugging Face, "Hub: Advanced topics, Firewall and proxies" names
// huggingface.co and hf.co with the hosts below them.
func Storage() []string { return []string{"*.huggingface.co", "*.hf.co"} }

// Source asks a hub. The zero value is ready to use.
type Source struct {
	// Endpoint is the hub's address; "" means the environment's HF_ENDPOINT,
	// or DefaultEndpoint without it.
	Endpoint string
	// Token returns the access token for gated and private repositories, ""
	// for none; nil means the environment's HF_TOKEN. It goes to the hub only.
	Token func() string
	// Client makes the request; servers pass one that is held to their allow-list,
	// nil means one without limits. Its redirect policy is not used.
	Client *http.Client
}

var _ weights.Source = (*Source)(nil)

// limit on one answer of the hub.
const resolveTime = time.Minute

// redirects inside the hub, as of renamed repositories.
const maxRedirects = 5

// Accepts reports whether s names a repository.
func (s *Source) Accepts(c catalog.Source) bool { return c.HuggingFace != nil }

// Resolve asks the hub for the commit, size and digest of the file.
func (s *Source) Resolve(ctx context.Context, c catalog.Source) (weights.Artifact, error) {
	h := *c.HuggingFace
	if h.Revision == "" {
		h.Revision = "main"
	}
	base, err := s.endpoint()
	if err != nil {
		return weights.Artifact{}, err
	}
	if !repoName.MatchString(h.Repo) {
		return weights.Artifact{}, fmt.Errorf("huggingface: %q is not a repository of the form owner/name", h.Repo)
	}
	if clean := path.Clean(h.File); h.File == "" || clean != h.File || strings.HasPrefix(clean, "/") || strings.HasPrefix(clean, "..") {
		return weights.Artifact{}, fmt.Errorf("huggingface: %q is not the path of a file in %s", h.File, h.Repo)
	}
	token := s.token()
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	answer, err := s.head(ctx, base, fileURL(base, h), token)
	if err != nil {
		return weights.Artifact{}, fmt.Errorf("huggingface: %s of %s at %s: %w", h.File, h.Repo, h.Revision, err)
	}
	part := weights.Part{Size: answer.size, SHA256: strings.ToLower(c.SHA256)}
	if part.SHA256 == "" {
		part.SHA256 = answer.sha256
	}
	if part.SHA256 == "" {
		return weights.Artifact{}, fmt.Errorf("huggingface: the hub tells no sha256 for %s of %s: set sha256 in the catalogue", h.File, h.Repo)
	}
	if answer.commit != "" {
		h.Revision = answer.commit
	}
	part.URL = fileURL(base, h).String()
	if token != "" {
		part.Header = map[string]string{"Authorization": "Bearer " + token}
	}
	return weights.Artifact{
		Origin: "huggingface:" + h.Repo + "/" + h.File + "@" + h.Revision,
		Parts:  []weights.Part{part},
		SHA256: part.SHA256,
	}, nil
}

var (
	repoName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$`)
	commitID = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

func (s *Source) endpoint() (*url.URL, error) {
	at := s.Endpoint
	if at == "" {
		at = os.Getenv("HF_ENDPOINT")
	}
	if at == "" {
		at = DefaultEndpoint
	}
	u, err := url.Parse(strings.TrimSuffix(at, "/"))
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("huggingface: HF_ENDPOINT is not an address of the form https://host")
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("huggingface: %w: HF_ENDPOINT is not https", weights.ErrRefused)
	}
	return u, nil
}

func loopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}

func (s *Source) token() string {
	if s.Token != nil {
		return s.Token()
	}
	return strings.TrimSpace(os.Getenv("HF_TOKEN"))
}

// fileURL is the hub's address of a file; each part of it is escaped.
func fileURL(base *url.URL, h catalog.HuggingFace) *url.URL {
	u := *base
	u.Path = base.Path + "/" + h.Repo + "/resolve/" + h.Revision + "/" + h.File
	escaped := make([]string, 0, 8)
	for part := range strings.SplitSeq(h.File, "/") {
		escaped = append(escaped, url.PathEscape(part))
	}
	u.RawPath = base.EscapedPath() + "/" + h.Repo + "/resolve/" + url.PathEscape(h.Revision) + "/" + strings.Join(escaped, "/")
	return &u
}

// found is what the hub says of a file.
type found struct {
	sha256, commit string
	size           int64
}

// head asks the hub without following the redirect to its storage: the
// answer before that redirect carries the digest.
func (s *Source) head(ctx context.Context, base, u *url.URL, token string) (found, error) {
	client := http.Client{}
	if s.Client != nil {
		client = *s.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for range maxRedirects {
		req, err := http.NewRequestWithContext(ctx, http.MethodHead, u.String(), nil)
		if err != nil {
			return found{}, errors.New("the address is malformed")
		}
		req.Header.Set("User-Agent", "outcrop")
		req.Header.Set("Accept-Encoding", "identity")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := client.Do(req)
		if err != nil {
			if ue, ok := errors.AsType[*url.Error](err); ok {
				err = ue.Err // without the address
			}
			return found{}, fmt.Errorf("ask the hub: %w", err)
		}
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
		_ = resp.Body.Close()
		redirected := resp.StatusCode >= 300 && resp.StatusCode < 400
		if resp.Header.Get("X-Linked-Etag") == "" && redirected {
			next, err := resp.Location()
			if err == nil && next.Scheme == base.Scheme && next.Host == base.Host {
				u = next
				continue
			}
		}
		if resp.StatusCode >= 400 {
			return found{}, refusal(resp, token)
		}
		return read(resp.Header), nil
	}
	return found{}, errors.New("the hub redirects in circles")
}

// read takes the hub's facts out of its headers.
func read(h http.Header) found {
	var f found
	etag := h.Get("X-Linked-Etag")
	if etag == "" {
		etag = h.Get("ETag")
	}
	etag = strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
	if raw, err := hex.DecodeString(etag); err == nil && len(raw) == 32 {
		f.sha256 = strings.ToLower(etag) // a file outside git-lfs has the 40 digits of git instead
	}
	if n, err := strconv.ParseInt(h.Get("X-Linked-Size"), 10, 64); err == nil && n > 0 {
		f.size = n
	}
	if c := h.Get("X-Repo-Commit"); commitID.MatchString(c) {
		f.commit = c
	}
	return f
}

// refusal is the error for an answer of 400 or above.
func refusal(resp *http.Response, token string) error {
	code := resp.Header.Get("X-Error-Code")
	switch {
	case code == "GatedRepo":
		if token == "" {
			return errors.New("the repository is gated: accept its terms on the hub and set HF_TOKEN")
		}
		return errors.New("the repository is gated: accept its terms on the hub with the account of HF_TOKEN")
	case code == "EntryNotFound":
		return errors.New("the repository has no such file")
	case code == "RevisionNotFound":
		return errors.New("the repository has no such revision")
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden, code == "RepoNotFound":
		if token == "" {
			return errors.New("the repository does not exist, or is private and needs HF_TOKEN")
		}
		return errors.New("the repository does not exist, or HF_TOKEN may not read it")
	}
	return fmt.Errorf("the hub answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
}
