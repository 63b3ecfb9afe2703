package document

import (
	"bytes"
	"slices"
	"strings"
)

var formats = [...]Format{PDF, CSV, DOC, DOCX, XLS, XLSX, HTML, TXT, MD}

// check holds the first bytes of a document against its format.
func check(f Format, data []byte) error {
	if !slices.Contains(formats[:], f) {
		return refuse(WrongFormat, "has an unknown format")
	}
	is := sniff(data)
	switch {
	case is == ole:
		switch {
		case bytes.Contains(data, []byte(encryptedPackage)) && (f == DOCX || f == XLSX):
			return refuse(Encrypted, "is protected with a password")
		case f == DOC || f == XLS:
			return refuse(Unsupported, "has the format %s, which cannot be read; save it as %sx", f, f)
		}
		return refuse(WrongFormat, "is not a valid %s: it is an old Office file", f)
	case f == PDF && is != pdf, (f == DOCX || f == XLSX) && is != zipped, f == DOC, f == XLS,
		is != other && f != PDF && f != DOCX && f != XLSX:
		if is == other {
			return refuse(WrongFormat, "is not a valid %s", f)
		}
		return refuse(WrongFormat, "is not a valid %s: it is a %s", f, is)
	}
	return nil
}

// What first bytes tell.
const (
	other  = ""
	pdf    = "pdf"
	zipped = "zip archive"
	ole    = "ole"
)

// encryptedPackage is the name, in UTF-16, of the stream that holds a protected
// docx or xlsx. Source: MS-OFFCRYPTO, section 2.3.4.
const encryptedPackage = "E\x00n\x00c\x00r\x00y\x00p\x00t\x00e\x00d\x00P\x00a\x00c\x00k\x00a\x00g\x00e\x00"

// headerWithin is how far behind the beginning readers look for a PDF's header.
// Source: PDF Reference 1.7, implementation note 13.
const headerWithin = 1024

func sniff(data []byte) string {
	s := string(data[:min(len(data), headerWithin)])
	switch {
	case strings.HasPrefix(s, "PK\x03\x04"), strings.HasPrefix(s, "PK\x05\x06"):
		return zipped
	case strings.HasPrefix(s, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
		return ole
	case strings.HasPrefix(s, "%PDF-"):
		return pdf
	case strings.Contains(s, "%PDF-") && bytes.Contains(data[max(0, len(data)-headerWithin):], []byte("%%EOF")):
		return pdf // with something in front, which readers forgive
	}
	return other
}
