package bedrock

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
)

// FromEnv reads AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, when set,
// AWS_SESSION_TOKEN, or the variables whose names have another prefix in place of
// "AWS_", once.
func FromEnv(prefix string) (Credentials, error) {
	prefix = cmp.Or(prefix, "AWS_")
	k := Keys{
		AccessKeyID: strings.TrimSpace(os.Getenv(prefix + "ACCESS_KEY_ID")),
		Secret:      secret.NewString(strings.TrimSpace(os.Getenv(prefix + "SECRET_ACCESS_KEY"))),
		Session:     secret.NewString(strings.TrimSpace(os.Getenv(prefix + "SESSION_TOKEN"))),
	}
	if err := k.check(); err != nil {
		return nil, fmt.Errorf("%sACCESS_KEY_ID, %sSECRET_ACCESS_KEY: %w", prefix, prefix, err)
	}
	return fixed(k), nil
}

// fixed are credentials that stay the same.
type fixed Keys

// Credentials implements Credentials.
func (f fixed) Credentials() (Keys, error) { return Keys(f), nil }

func (k *Keys) check() error {
	for _, s := range []string{k.AccessKeyID, string(k.Secret.Reveal()), string(k.Session.Reveal())} {
		if strings.ContainsFunc(s, func(r rune) bool { return r < '!' || r > '~' }) {
			return errors.New("want printable characters without spaces")
		}
	}
	if k.AccessKeyID == "" || k.Secret.IsZero() {
		return errors.New("there is no access key")
	}
	return nil
}

// File reads credentials from a profile of a file as AWS's own tools write it
// ("[default]", "aws_access_key_id = ..."). It is read again when it changes, so
// temporary credentials can be replaced while the server runs.
type File struct {
	path, profile string

	mu   sync.Mutex
	at   time.Time // modified
	size int64
	keys Keys
}

// maxFile bounds a file of credentials, in bytes.
const maxFile = 1 << 20

// FromFile returns the credentials of a profile, "" for "default".
func FromFile(path, profile string) (*File, error) {
	f := &File{path: path, profile: cmp.Or(profile, "default")}
	_, err := f.Credentials()
	return f, err
}

// Credentials implements Credentials. While the file cannot be read, what was read
// last holds.
func (f *File) Credentials() (Keys, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	keys, err := f.read()
	if err != nil && f.keys.AccessKeyID != "" {
		return f.keys, nil
	}
	return keys, err
}

func (f *File) read() (Keys, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return Keys{}, fmt.Errorf("credentials file: %w", err)
	}
	if f.keys.AccessKeyID != "" && info.ModTime().Equal(f.at) && info.Size() == f.size {
		return f.keys, nil
	}
	if info.Size() > maxFile {
		return Keys{}, errors.New("credentials file: it is larger than 1 MiB")
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return Keys{}, fmt.Errorf("credentials file: %w", err)
	}
	keys := parseProfile(text, f.profile)
	if err := keys.check(); err != nil {
		return Keys{}, fmt.Errorf("credentials file: profile %s: %w", f.profile, err)
	}
	f.keys, f.at, f.size = keys, info.ModTime(), info.Size()
	return keys, nil
}

// parseProfile reads one profile of a file in INI form.
func parseProfile(text []byte, profile string) Keys {
	var k Keys
	here := false
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if name, ok := strings.CutPrefix(line, "["); ok {
			name, _, _ = strings.Cut(name, "]")
			here = strings.TrimPrefix(strings.TrimSpace(name), "profile ") == profile
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !here || !ok || line[0] == '#' || line[0] == ';' {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "aws_access_key_id":
			k.AccessKeyID = value
		case "aws_secret_access_key":
			k.Secret = secret.NewString(value)
		case "aws_session_token":
			k.Session = secret.NewString(value)
		}
	}
	return k
}
