package fetch

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/outcrop/outcrop/internal/weights"
)

// Allowed refuses addresses that a download must not use: everything but
// https, http to a loopback address, and files of this machine.
func Allowed(u *url.URL) error {
	switch u.Scheme {
	case "https":
		if u.Host != "" {
			return nil
		}
	case "http":
		if loopback(u.Hostname()) {
			return nil
		}
		return fmt.Errorf("%w: %s is not encrypted, use https", weights.ErrRefused, show(u))
	case "file":
		if u.Host == "" || u.Host == "localhost" {
			return nil
		}
	}
	return fmt.Errorf("%w: the address %s is not https", weights.ErrRefused, show(u))
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Local is the path that a file address names.
func Local(u *url.URL) (string, error) {
	name := u.Path
	if runtime.GOOS == "windows" {
		name = strings.TrimPrefix(name, "/")
	}
	name = filepath.FromSlash(name)
	if !filepath.IsAbs(name) {
		return "", fmt.Errorf("the address %s does not name a file by its full path", show(u))
	}
	return name, nil
}

// show writes an address without user, password, query and fragment.
func show(u *url.URL) string {
	clean := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return clean.String()
}

// redirect follows at most 10 redirects, never from https to anything else and
// never with credentials to another host.
func redirect(next *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return permanent(fmt.Errorf("more than 10 redirects"))
	}
	if next.URL.Scheme == "file" {
		return permanent(fmt.Errorf("%w: a redirect to a file", weights.ErrRefused))
	}
	if err := Allowed(next.URL); err != nil {
		return permanent(err)
	}
	if via[len(via)-1].URL.Scheme == "https" && next.URL.Scheme != "https" {
		return permanent(fmt.Errorf("%w: a redirect from https to %s", weights.ErrRefused, show(next.URL)))
	}
	if next.URL.Host != via[0].URL.Host {
		next.Header.Del("Authorization")
		next.Header.Del("Cookie")
	}
	return nil
}
