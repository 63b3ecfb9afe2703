package pypi

import (
	"context"
	"encoding/base64"
	"net/url"
	"regexp"
	"strings"

	"github.com/outcrop/outcrop/internal/weights"
)

// pip's report leaves out the user and password of an index. Those that stand
// in pip's own configuration are given to downloads from the same host, as pip
// would do.

// settings that hold addresses of indexes and of folders on servers.
var addressSetting = regexp.MustCompile(`(?m)^[^=\n]*\.(?:index-url|extra-index-url|find-links)=(.*)$`)

// webAddress finds addresses with user and password.
var webAddress = regexp.MustCompile(`https?://[^\s'"\\@/]+@[^\s'"\\]+`)

// authorize adds credentials to the parts whose host pip has some for. Without
// any, or when pip does not tell its configuration, it does nothing.
func (s *Source) authorize(ctx context.Context, parts map[string]weights.Part) {
	remote := false
	for _, p := range parts {
		remote = remote || strings.HasPrefix(p.URL, "http")
	}
	if !remote {
		return
	}
	stdout, _, err := s.python(ctx, "-m", "pip", "--disable-pip-version-check", "config", "list")
	if err != nil {
		return
	}
	byHost := credentials(string(stdout))
	for name, p := range parts {
		u, err := url.Parse(p.URL)
		if err != nil {
			continue
		}
		if auth, ok := byHost[u.Scheme+"://"+u.Host]; ok {
			p.Header = map[string]string{"Authorization": auth}
			parts[name] = p
		}
	}
}

// credentials reads pip's configuration into one header value per scheme and
// host.
func credentials(config string) map[string]string {
	out := make(map[string]string)
	for _, line := range addressSetting.FindAllStringSubmatch(config, -1) {
		for _, address := range webAddress.FindAllString(line[1], -1) {
			u, err := url.Parse(address)
			if err != nil || u.User == nil {
				continue
			}
			password, _ := u.User.Password()
			key := u.Scheme + "://" + u.Host
			if _, dup := out[key]; !dup {
				out[key] = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
			}
		}
	}
	return out
}
