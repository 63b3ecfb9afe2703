package keys_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/secret"
)

const phrase = "correct horse battery staple"

func passphrase(text string) keys.Protection {
	return keys.Protection{Passphrase: secret.NewString(text)}
}

// kms is a key management system made of two shell commands.
func kms(t *testing.T) keys.Protection {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("needs a shell")
	}
	return keys.Protection{Wrap: []string{"sh", "-c", "tr 'A-Za-z' 'N-ZA-Mn-za-m'"}, Unwrap: []string{"sh", "-c", "tr 'A-Za-z' 'N-ZA-Mn-za-m'"}}
}

func opens(t *testing.T, k, by *keys.RootKey) {
	t.Helper()
	sealed := k.Seal("000000000000", "AKIAX", keys.SigV4, []byte("secret"))
	if got, err := by.Unseal("000000000000", "AKIAX", keys.SigV4, sealed); err != nil || string(got) != "secret" {
		t.Errorf("it is another key: %q, %v", got, err)
	}
}

// A new installation gets a protected key at once, which opens as long as the
// protection is the same.
func TestProtectedFromTheStart(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]keys.Protection{"passphrase": passphrase(phrase), "command": kms(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), keys.RootKeyFile)
			first, err := keys.OpenRootKey(t.Context(), path, p)
			if err != nil {
				t.Fatal(err)
			}
			again, err := keys.OpenRootKey(t.Context(), path, p)
			if err != nil {
				t.Fatal(err)
			}
			opens(t, first, again)
			if _, err := keys.OpenRootKey(t.Context(), path, keys.Protection{}); err == nil || !strings.Contains(err.Error(), "protected") {
				t.Errorf("without the protection: %v", err)
			}
			if err := keys.ProtectRootKey(t.Context(), path, p); err == nil || !strings.Contains(err.Error(), "already") {
				t.Errorf("protect twice: %v", err)
			}
		})
	}
}

// A bare key can be protected later and stays the same key.
func TestProtectLater(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), keys.RootKeyFile)
	bare, err := keys.LoadRootKey(path)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := passphrase(phrase)
	if _, err := keys.OpenRootKey(t.Context(), path, p); err == nil || !strings.Contains(err.Error(), "outcrop keys protect") {
		t.Errorf("a bare key where a passphrase is set: %v", err)
	}
	if err := keys.ProtectRootKey(t.Context(), path, keys.Protection{}); err == nil {
		t.Error("protected with nothing")
	}
	if err := keys.ProtectRootKey(t.Context(), path, p); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil || bytes.Contains(after, before) {
		t.Errorf("the file holds the key in the clear (%v)", err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm()&0o077 != 0 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	k, err := keys.OpenRootKey(t.Context(), path, p)
	if err != nil {
		t.Fatal(err)
	}
	opens(t, bare, k)
}

func TestWrongProtection(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), keys.RootKeyFile)
	if _, err := keys.OpenRootKey(t.Context(), path, passphrase(phrase)); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]keys.Protection{"another passphrase": passphrase(phrase + "!"), "a command": kms(t)} {
		if _, err := keys.OpenRootKey(t.Context(), path, p); err == nil || strings.Contains(err.Error(), phrase) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{len(good) - 1, len("outcrop root key, passphrase, 1\n")} { // the sealed key, the work
		bad := bytes.Clone(good)
		bad[at] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := keys.OpenRootKey(t.Context(), path, passphrase(phrase)); err == nil {
			t.Errorf("a changed byte %d is not noticed", at)
		}
	}
	if _, err := keys.OpenRootKey(t.Context(), filepath.Join(t.TempDir(), keys.RootKeyFile), passphrase("short")); err == nil {
		t.Error("a short passphrase was taken")
	}
}

// A command that fails, lies or says too much changes nothing.
func TestBrokenCommands(t *testing.T) {
	t.Parallel()
	good := kms(t)
	for name, p := range map[string]keys.Protection{
		"no wrap":     {Unwrap: good.Unwrap},
		"wrap fails":  {Wrap: []string{"sh", "-c", "echo the key is here >&2; exit 3"}, Unwrap: good.Unwrap},
		"wrap silent": {Wrap: []string{"true"}, Unwrap: good.Unwrap},
		"wrap large":  {Wrap: []string{"sh", "-c", "head -c 100000 /dev/zero"}, Unwrap: good.Unwrap},
		"unwrap lies": {Wrap: good.Wrap, Unwrap: []string{"sh", "-c", "printf %s AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}},
		"unwrap junk": {Wrap: good.Wrap, Unwrap: []string{"cat"}},
		"no program":  {Wrap: []string{"/no/such/program"}, Unwrap: good.Unwrap},
	} {
		path := filepath.Join(t.TempDir(), keys.RootKeyFile)
		bare, err := keys.LoadRootKey(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := keys.ProtectRootKey(t.Context(), path, p); err == nil || strings.Contains(err.Error(), "the key is here") {
			t.Errorf("%s: %v", name, err)
		}
		still, err := keys.LoadRootKey(path)
		if err != nil {
			t.Fatalf("%s: the key is gone: %v", name, err)
		}
		opens(t, bare, still)
	}
}

func TestReadSecretFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "phrase")
	if err := os.WriteFile(path, []byte("  "+phrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if v, err := keys.ReadSecretFile(path); err != nil || string(v.Reveal()) != phrase {
		t.Errorf("%q, %v", v.Reveal(), err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.ReadSecretFile(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that all can read: %v", err)
	}
}
