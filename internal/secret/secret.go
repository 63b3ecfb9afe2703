// Package secret holds values that must never be printed.
package secret

import "log/slog"

const mask = "***"

// Value is a secret. fmt, slog and encoding/json all show "***"; only Reveal
// gives the bytes.
type Value struct{ b []byte }

// New wraps b. The caller must not keep or change b.
func New(b []byte) Value { return Value{b: b} }

// NewString wraps s.
func NewString(s string) Value { return Value{b: []byte(s)} }

// Reveal returns the secret itself. The result must not be logged or changed.
func (v Value) Reveal() []byte { return v.b }

// IsZero reports whether there is no secret.
func (v Value) IsZero() bool { return len(v.b) == 0 }

// String is "***".
func (Value) String() string { return mask }

// GoString is "***".
func (Value) GoString() string { return mask }

// LogValue is "***".
func (Value) LogValue() slog.Value { return slog.StringValue(mask) }

// MarshalText is "***".
func (Value) MarshalText() ([]byte, error) { return []byte(mask), nil }
