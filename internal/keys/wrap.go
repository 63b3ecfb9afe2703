package keys

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
)

// Protection is how the root key is kept. The zero value keeps it as it is, in a
// file that only its owner can read. At most one way may be set.
type Protection struct {
	// Passphrase encrypts the file.
	Passphrase secret.Value
	// Wrap and Unwrap are commands of a key management system: each gets its input on
	// standard input and answers on standard output. Wrap gets the key as base64 and
	// answers with what is kept in the file, at most 64 KiB; Unwrap gets that and
	// answers with the key as base64.
	Wrap, Unwrap []string
}

func (p Protection) none() bool { return p.Passphrase.IsZero() && len(p.Unwrap) == 0 }

const (
	// passphraseRounds is the work of one guess. Source: OWASP Password Storage Cheat
	// Sheet, PBKDF2-HMAC-SHA256 (2023): 600,000.
	passphraseRounds = 600_000
	minRounds        = passphraseRounds
	maxRounds        = 50_000_000
	saltSize         = 16
	maxWrapped       = 64 << 10
	commandTime      = 30 * time.Second
	minPassphrase    = 12 // characters
)

// The first bytes of a file that is not the bare key, which has 32 bytes.
const (
	magicPassphrase = "outcrop root key, passphrase, 1\n" // #nosec G101 -- the name of a format
	magicCommand    = "outcrop root key, command, 1\n"
)

// OpenRootKey is LoadRootKey for a key that is protected. A new installation gets a
// protected key; an existing bare one is refused until ProtectRootKey was asked.
//
// Errors: as LoadRootKey; a wrong passphrase, a command that fails, a key that is
// protected in another way than p says.
func OpenRootKey(ctx context.Context, path string, p Protection) (*RootKey, error) {
	if p.none() {
		b, err := readKeyFile(path)
		if err == nil && len(b) != rootKeySize && (bytes.HasPrefix(b, []byte(magicPassphrase)) || bytes.HasPrefix(b, []byte(magicCommand))) {
			return nil, fmt.Errorf("root key %s is protected: set root_key in the configuration as it was when the key was protected", path)
		}
		return LoadRootKey(path)
	}
	b, err := readKeyFile(path)
	if errors.Is(err, os.ErrNotExist) {
		var root [rootKeySize]byte
		_, _ = rand.Read(root[:]) // never fails
		wrapped, werr := p.wrap(ctx, root)
		if werr != nil {
			return nil, werr
		}
		if err := writeRootKey(path, wrapped); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("create root key: %w", err)
		}
		b, err = readKeyFile(path) // ours, or that of another process that was first
	}
	if err != nil {
		return nil, err
	}
	if len(b) == rootKeySize {
		return nil, fmt.Errorf("root key %s is not protected yet; run: outcrop keys protect", path)
	}
	root, err := p.unwrap(ctx, path, b)
	if err != nil {
		return nil, err
	}
	return newRootKey(root)
}

// ProtectRootKey replaces the file of a bare root key by a protected one, whole or
// not at all. Backups of the bare file open everything still: destroy them.
func ProtectRootKey(ctx context.Context, path string, p Protection) error {
	if p.none() {
		return errors.New("root_key in the configuration says nothing to protect the key with: set passphrase_file, or wrap and unwrap")
	}
	b, err := readKeyFile(path)
	if err != nil {
		return err
	}
	if len(b) != rootKeySize {
		return fmt.Errorf("root key %s is protected already", path)
	}
	wrapped, err := p.wrap(ctx, [rootKeySize]byte(b))
	if err != nil {
		return err
	}
	// What cannot be opened again must not take the key's place.
	again, err := p.unwrap(ctx, path, wrapped)
	if err != nil {
		return err
	}
	if again != [rootKeySize]byte(b) {
		return errors.New("what unwrap gives back is not the key that wrap got: the root key was left as it is")
	}
	return replaceRootKey(path, wrapped)
}

// ReadSecretFile reads a secret text from a file that nobody but its owner can
// reach; white space around it does not count.
func ReadSecretFile(path string) (secret.Value, error) {
	b, err := readSecret(path)
	if err != nil {
		return secret.Value{}, err
	}
	return secret.New(bytes.TrimSpace(b)), nil
}

// readSecret reads a small file that nobody but its owner can reach.
func readSecret(path string) ([]byte, error) {
	f, err := openSecret(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxWrapped+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxWrapped {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxWrapped)
	}
	return b, nil
}

func readKeyFile(path string) ([]byte, error) {
	b, err := readSecret(path)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	return b, nil
}

func (p Protection) wrap(ctx context.Context, root [rootKeySize]byte) ([]byte, error) {
	if !p.Passphrase.IsZero() {
		return wrapPassphrase(p.Passphrase, root)
	}
	if len(p.Wrap) == 0 {
		return nil, errors.New("root_key.wrap is missing: the command that a new root key is wrapped with")
	}
	out, err := keyCommand(ctx, "wrap", p.Wrap, []byte(base64.StdEncoding.EncodeToString(root[:])))
	if err != nil {
		return nil, err
	}
	if len(out) == 0 || len(out) > maxWrapped-len(magicCommand) {
		return nil, fmt.Errorf("root_key.wrap answers with %d bytes; want 1 to %d", len(out), maxWrapped-len(magicCommand))
	}
	return append([]byte(magicCommand), out...), nil
}

func (p Protection) unwrap(ctx context.Context, path string, file []byte) ([rootKeySize]byte, error) {
	var none [rootKeySize]byte
	if !p.Passphrase.IsZero() {
		rest, ok := bytes.CutPrefix(file, []byte(magicPassphrase))
		if !ok {
			return none, fmt.Errorf("root key %s is not protected by a passphrase", path)
		}
		return unwrapPassphrase(path, p.Passphrase, rest)
	}
	rest, ok := bytes.CutPrefix(file, []byte(magicCommand))
	if !ok {
		return none, fmt.Errorf("root key %s is not protected by a command", path)
	}
	out, err := keyCommand(ctx, "unwrap", p.Unwrap, rest)
	if err != nil {
		return none, err
	}
	b, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(out)))
	if err != nil || len(b) != rootKeySize {
		return none, fmt.Errorf("root_key.unwrap does not answer with the base64 of %d bytes", rootKeySize)
	}
	return [rootKeySize]byte(b), nil
}

// keyCommand runs a command of the operator, without a shell.
func keyCommand(ctx context.Context, name string, command []string, in []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) // #nosec G204 -- the operator's configuration names it
	cmd.Stdin = bytes.NewReader(in)
	cmd.WaitDelay = time.Second
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	if err := cmd.Run(); err != nil { // what it says may hold the key: it is not shown
		return nil, fmt.Errorf("root_key.%s: %s: %w", name, command[0], err)
	}
	return stdout.Bytes(), nil
}

// passphraseCipher makes the cipher of a file. The salt and the work are bound to
// the text by the key.
func passphraseCipher(p secret.Value, salt []byte, rounds int) (cipher.AEAD, error) {
	key, err := pbkdf2.Key(sha256.New, string(p.Reveal()), salt, rounds, 32)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	return aead, nil
}

func wrapPassphrase(p secret.Value, root [rootKeySize]byte) ([]byte, error) {
	if len(p.Reveal()) < minPassphrase {
		return nil, fmt.Errorf("the passphrase of the root key must have at least %d characters", minPassphrase)
	}
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	aead, err := passphraseCipher(p, salt, passphraseRounds)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	out := binary.BigEndian.AppendUint32([]byte(magicPassphrase), passphraseRounds)
	out = append(append(out, salt...), nonce...)
	return aead.Seal(out, nonce, root[:], []byte(magicPassphrase)), nil
}

func unwrapPassphrase(path string, p secret.Value, b []byte) (root [rootKeySize]byte, err error) {
	const head = 4 + saltSize + 12
	if len(b) != head+rootKeySize+16 {
		return root, fmt.Errorf("root key %s was changed; restore it from a backup", path)
	}
	rounds := binary.BigEndian.Uint32(b)
	if rounds < minRounds || rounds > maxRounds {
		return root, fmt.Errorf("root key %s was changed; restore it from a backup", path)
	}
	aead, err := passphraseCipher(p, b[4:4+saltSize], int(rounds))
	if err != nil {
		return root, err
	}
	plain, err := aead.Open(nil, b[4+saltSize:head], b[head:], []byte(magicPassphrase))
	if err != nil {
		return root, fmt.Errorf("the passphrase does not open root key %s", path)
	}
	return [rootKeySize]byte(plain), nil
}
