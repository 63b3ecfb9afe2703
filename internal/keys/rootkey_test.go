package keys_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/keys"
)

func rootKey(t *testing.T) *keys.RootKey {
	t.Helper()
	k, err := keys.LoadRootKey(filepath.Join(t.TempDir(), keys.RootKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestLoadRootKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, keys.RootKeyFile)
	first, err := keys.LoadRootKey(path)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st.Size() != 32 || runtime.GOOS != "windows" && st.Mode().Perm() != 0o600 {
		t.Errorf("size %d, mode %o; want 32, 600", st.Size(), st.Mode().Perm())
	}
	second, err := keys.LoadRootKey(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed := first.Seal("000000000000", "AKIAX", keys.SigV4, []byte("secret"))
	if got, err := second.Unseal("000000000000", "AKIAX", keys.SigV4, sealed); err != nil || string(got) != "secret" {
		t.Errorf("after a reload: %q, %v", got, err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("the directory has %v, want the key file alone (%v)", left, err)
	}
}

// TestLoadRootKeyRace starts many first runs at once: all must end up with the
// same key.
func TestLoadRootKeyRace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), keys.RootKeyFile)
	loaded := make([]*keys.RootKey, 16)
	var wg sync.WaitGroup
	for i := range loaded {
		wg.Go(func() {
			k, err := keys.LoadRootKey(path)
			if err != nil {
				t.Error(err)
			}
			loaded[i] = k
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	sealed := loaded[0].Seal("000000000000", "AKIAX", keys.SigV4, []byte("secret"))
	for i, k := range loaded {
		if _, err := k.Unseal("000000000000", "AKIAX", keys.SigV4, sealed); err != nil {
			t.Errorf("run %d has another key: %v", i, err)
		}
	}
}

func TestLoadRootKeyRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, size int, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cases := map[string]struct{ path, want string }{
		"empty":     {write("empty", 0, 0o600), "must have 32 bytes"},
		"short":     {write("short", 31, 0o600), "must have 32 bytes"},
		"long":      {write("long", 33, 0o600), "must have 32 bytes"},
		"directory": {dir, "not a regular file"},
		"no parent": {filepath.Join(dir, "none", "root.key"), "create root key"},
	}
	if runtime.GOOS != "windows" {
		for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o610, 0o644} {
			p := write(fmt.Sprintf("mode%o", mode), 32, mode)
			cases[p] = struct{ path, want string }{p, "chmod 600 " + p}
		}
	}
	for name, c := range cases {
		if _, err := keys.LoadRootKey(c.path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestSeal(t *testing.T) {
	t.Parallel()
	const account, id = "000000000000", "AKIAAAAAAAAAAAAAAAAA"
	k := rootKey(t)
	sealed := k.Seal(account, id, keys.SigV4, []byte("secret"))
	if bytes.Contains(sealed, []byte("secret")) {
		t.Error("the secret stands in the sealed bytes")
	}
	if bytes.Equal(sealed, k.Seal(account, id, keys.SigV4, []byte("secret"))) {
		t.Error("sealing twice gives the same bytes")
	}
	for name, open := range map[string]func() ([]byte, error){
		"other account":  func() ([]byte, error) { return k.Unseal("111122223333", id, keys.SigV4, sealed) },
		"other id":       func() ([]byte, error) { return k.Unseal(account, "AKIABBBBBBBBBBBBBBBB", keys.SigV4, sealed) },
		"other kind":     func() ([]byte, error) { return k.Unseal(account, id, keys.Bearer, sealed) },
		"other root key": func() ([]byte, error) { return rootKey(t).Unseal(account, id, keys.SigV4, sealed) },
		"nothing":        func() ([]byte, error) { return k.Unseal(account, id, keys.SigV4, nil) },
	} {
		if got, err := open(); err == nil {
			t.Errorf("%s: opened to %q", name, got)
		}
	}
	for i := range sealed {
		for bit := range 8 {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1 << bit
			if _, err := k.Unseal(account, id, keys.SigV4, bad); err == nil {
				t.Fatalf("opened with bit %d of byte %d flipped", bit, i)
			}
		}
		if _, err := k.Unseal(account, id, keys.SigV4, sealed[:i]); err == nil {
			t.Fatalf("opened after a cut to %d bytes", i)
		}
	}
}

func TestRootKeyDerive(t *testing.T) {
	t.Parallel()
	k := rootKey(t)
	a, err := k.Derive("a")
	if err != nil {
		t.Fatal(err)
	}
	again, _ := k.Derive("a")
	b, _ := k.Derive("b")
	other, _ := rootKey(t).Derive("a")
	if a != again || a == b || a == other {
		t.Error("keys must be the same for one purpose and differ between purposes and root keys")
	}
}

func TestRootKeyIsNotPrinted(t *testing.T) {
	t.Parallel()
	k := rootKey(t)
	j, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k), k.LogValue().String(), strings.Trim(string(j), `"`)} {
		if s != "***" {
			t.Errorf("prints as %q", s)
		}
	}
}
