package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// digest is the SHA-256, in hex, of what someone agrees to who agrees to use the
// weights: which weights they are, their licence and its text where the catalogue
// has it, its address, and the limits of use. Any change of these is a new offer.
func (w *Weights) digest() string {
	var b strings.Builder
	for _, s := range []string{w.ID, w.License, w.LicenseURL, w.LicenseText, w.AcceptableUse} {
		b.WriteString(strconv.Itoa(len(s)) + ":" + s)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}
