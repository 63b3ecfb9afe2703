package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
)

const (
	// RootKeyFile is the name of the root key in the data directory.
	RootKeyFile = "root.key"

	rootKeySize = 32
	sealVersion = 1
)

// RootKey is the key that every secret of an installation is sealed under. It
// prints as "***".
type RootKey struct {
	root [rootKeySize]byte
	aead cipher.AEAD // for Seal and Unseal
}

// LoadRootKey reads the root key file, 32 bytes, and makes it on first run: mode
// 0600, whole or not at all, never over another one, durable when it returns.
//
// Errors: a file that its group or others may read or write is refused, with the
// chmod that mends it (not on Windows, which has no such modes); so is one of
// another size or that is not a regular file.
func LoadRootKey(path string) (*RootKey, error) {
	k, err := readRootKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createRootKey(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("create root key: %w", err)
		}
		k, err = readRootKey(path) // ours, or that of another process that was first
	}
	return k, err
}

func readRootKey(path string) (*RootKey, error) {
	f, err := openSecret(path)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, rootKeySize+1))
	if err != nil {
		return nil, fmt.Errorf("read root key: %w", err)
	}
	if len(b) != rootKeySize {
		return nil, fmt.Errorf("root key %s must have %d bytes; restore it from a backup", path, rootKeySize)
	}
	return newRootKey([rootKeySize]byte(b))
}

// openSecret opens a file when nobody but its owner can reach it.
func openSecret(path string) (_ *os.File, err error) {
	f, err := os.Open(path) // #nosec G304 -- the operator's own data directory
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if mode := st.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s has mode %04o, so others can reach it; run: chmod 600 %s", path, mode, path)
	}
	return f, nil
}

// createRootKey makes a new key.
func createRootKey(path string) error {
	var root [rootKeySize]byte
	_, _ = rand.Read(root[:]) // never fails
	return writeRootKey(path, root[:])
}

// writeRootKey writes a new file beside path and links it into place: a reader
// sees no file or a whole one, and the first of two writers wins.
func writeRootKey(path string, content []byte) error {
	return placeRootKey(path, content, os.Link)
}

// replaceRootKey puts a new file in the place of the one that is there.
func replaceRootKey(path string, content []byte) error {
	return placeRootKey(path, content, os.Rename)
}

func placeRootKey(path string, content []byte, place func(from, to string) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, RootKeyFile+".*.tmp") // O_EXCL, 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := place(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a new directory entry durable. Windows cannot and need not.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir) // #nosec G304 -- the operator's own data directory
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

func newRootKey(root [rootKeySize]byte) (*RootKey, error) {
	k := &RootKey{root: root}
	sub, err := k.Derive("keys/seal/v1")
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(sub[:])
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	return k, nil
}

// Derive returns a key of its own for a purpose, by HKDF-SHA256: no two purposes
// share a key, and none tells the root key.
func (k *RootKey) Derive(purpose string) ([32]byte, error) {
	b, err := hkdf.Key(sha256.New, k.root[:], nil, "outcrop/"+purpose, 32)
	if err != nil {
		return [32]byte{}, fmt.Errorf("derive key for %s: %w", purpose, err)
	}
	return [32]byte(b), nil
}

// Seal encrypts plain with AES-256-GCM under a random nonce. Account, key id and
// kind are bound in: the result opens in no other row.
func (k *RootKey) Seal(account, id string, kind Kind, plain []byte) []byte {
	out := make([]byte, 1+k.aead.NonceSize(), 1+k.aead.NonceSize()+len(plain)+k.aead.Overhead())
	out[0] = sealVersion
	nonce := out[1:]
	_, _ = rand.Read(nonce) // never fails
	return k.aead.Seal(out, nonce, plain, bound(account, id, kind))
}

// Unseal undoes Seal. It fails when a byte was changed, the row is another one, or
// the root key is not the one that sealed it.
func (k *RootKey) Unseal(account, id string, kind Kind, sealed []byte) ([]byte, error) {
	n := 1 + k.aead.NonceSize()
	if len(sealed) < n+k.aead.Overhead() || sealed[0] != sealVersion {
		return nil, fmt.Errorf("key %s: the sealed secret has a form that this version does not know", id)
	}
	plain, err := k.aead.Open(nil, sealed[1:n], sealed[n:], bound(account, id, kind))
	if err != nil {
		return nil, fmt.Errorf("key %s: its secret was changed or sealed under another %s; restore that file from a backup, or delete the key", id, RootKeyFile)
	}
	return plain, nil
}

// bound is the data that a sealed secret is tied to. No part can hold a "|".
func bound(account, id string, kind Kind) []byte {
	return []byte(account + "|" + id + "|" + string(kind))
}

// String is "***".
func (*RootKey) String() string { return "***" }

// GoString is "***".
func (*RootKey) GoString() string { return "***" }

// LogValue is "***".
func (*RootKey) LogValue() slog.Value { return slog.StringValue("***") }

// MarshalText is "***".
func (*RootKey) MarshalText() ([]byte, error) { return []byte("***"), nil }
