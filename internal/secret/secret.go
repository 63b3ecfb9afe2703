// Package secret holds values that must never be printed.
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

const mask = "***"

// Value is a secret. fmt, slog and encoding/json all show "***"; only Reveal
// gives the bytes.
type Value struct {
	// fmt calls no methods of a Value in an unexported field but prints what is
	// in it. Of a function that is an address.
	reveal func() []byte
}

// New wraps b. The caller must not keep or change b.
func New(b []byte) Value { return Value{reveal: func() []byte { return b }} }

// NewString wraps s.
func NewString(s string) Value { return New([]byte(s)) }

// Reveal returns the secret itself. The result must not be logged or changed.
func (v Value) Reveal() []byte {
	if v.reveal == nil {
		return nil
	}
	return v.reveal()
}

// IsZero reports whether there is no secret.
func (v Value) IsZero() bool { return len(v.Reveal()) == 0 }

// Format writes "***" for every verb.
func (Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, mask) }

// String is "***".
func (Value) String() string { return mask }

// GoString is "***".
func (Value) GoString() string { return mask }

// LogValue is "***".
func (Value) LogValue() slog.Value { return slog.StringValue(mask) }

// MarshalText is "***".
func (Value) MarshalText() ([]byte, error) { return []byte(mask), nil }
