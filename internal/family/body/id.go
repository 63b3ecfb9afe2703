package body

import (
	"crypto/rand"
	"fmt"
	"io"
)

// idAlphabet leaves out what people mistake for something else.
const idAlphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// NewID makes an id of n letters and digits, some 5.8 bits each, from src; nil
// means crypto/rand.
func NewID(src io.Reader, n int) (string, error) {
	if src == nil {
		src = rand.Reader
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(src, b); err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	for i := range b {
		b[i] = idAlphabet[int(b[i])%len(idAlphabet)]
	}
	return string(b), nil
}
