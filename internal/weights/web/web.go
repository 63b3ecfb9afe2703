// Package web takes weights from an https address.
package web

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/weights"
)

// Source resolves addresses. The zero value is ready to use.
type Source struct{}

var _ weights.Source = Source{}

// Accepts reports whether s names an address.
func (Source) Accepts(s catalog.Source) bool { return s.URL != "" }

// Resolve checks the address. A sha256 is required: nothing else tells whether
// the file at an address is still the one that the catalogue's author meant.
func (Source) Resolve(_ context.Context, s catalog.Source) (weights.Artifact, error) {
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == "" {
		return weights.Artifact{}, errors.New("url: not an address of the form https://host/path")
	}
	if u.Scheme != "https" && u.Scheme != "http" { // fetch allows http to loopback only
		return weights.Artifact{}, fmt.Errorf("url: %w: %s is not https", weights.ErrRefused, u.Scheme)
	}
	if u.User != nil {
		return weights.Artifact{}, errors.New("url: user and password do not belong in the catalogue")
	}
	if raw, err := hex.DecodeString(s.SHA256); err != nil || len(raw) != 32 {
		return weights.Artifact{}, errors.New("url: sha256 is required, 64 hexadecimal digits")
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return weights.Artifact{
		Origin: shown.String(),
		Parts:  []weights.Part{{URL: s.URL, SHA256: s.SHA256}},
		SHA256: s.SHA256,
	}, nil
}
