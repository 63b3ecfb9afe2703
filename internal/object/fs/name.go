package fs

import (
	"encoding/hex"
	"strings"
)

// How a key becomes a path. Every element of a path begins with a mark that
// tells what it is, so that no key can name ".", "..", a device of Windows or a
// temporary file, and "a" and "a/b" can both be keys:
//
//	=name   the object itself, last element
//	+name   a folder: a slash of the key follows
//	~name   a piece of a long name: nothing follows it but the next piece
//
// Lower-case letters, digits and "-_.,()" stand for themselves, "^a" is "A" (for
// file systems that do not tell cases apart), all other bytes are "%" and two hex
// digits. So "in/Report 1.pdf" becomes "+in/=^report%201.pdf". Slashes behind the
// first maxFolders of a key are bytes like any other, so a key of a thousand
// slashes does not become a thousand folders.
const (
	markObject = '='
	markFolder = '+'
	markPiece  = '~'
)

// maxPiece is the longest name of one element without its mark. File systems
// allow 255 bytes.
const maxPiece = 200

const maxFolders = 16

// encodeKey returns the path of a key below its bucket, with slashes.
func encodeKey(key string) string {
	var b strings.Builder
	for folders := 0; ; folders++ {
		segment, rest, more := key, "", false
		if folders < maxFolders {
			segment, rest, more = strings.Cut(key, "/")
		}
		name := encodeName(segment)
		for len(name) > maxPiece {
			cut := maxPiece
			for i := cut - 2; i < cut; i++ { // keep an escape in one piece
				if name[i] == '%' || name[i] == '^' && i == cut-1 {
					cut = i
					break
				}
			}
			b.WriteByte(markPiece)
			b.WriteString(name[:cut])
			b.WriteByte('/')
			name = name[cut:]
		}
		if !more {
			b.WriteByte(markObject)
			b.WriteString(name)
			return b.String()
		}
		b.WriteByte(markFolder)
		b.WriteString(name)
		b.WriteByte('/')
		key = rest
	}
}

func encodeName(s string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case plain(c):
			b.WriteByte(c)
		case 'A' <= c && c <= 'Z':
			b.WriteByte('^')
			b.WriteByte(c - 'A' + 'a')
		default:
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-_.,()", c) >= 0
}

// decodeElement adds what one element of a path stands for to the key so far.
// object is true for the last one. ok is false for what no key is encoded to,
// such as a temporary file.
func decodeElement(element string) (key string, object, ok bool) {
	if element == "" {
		return "", false, false
	}
	name, ok := decodeName(element[1:])
	switch {
	case !ok:
		return "", false, false
	case element[0] == markObject:
		return name, true, true
	case element[0] == markFolder:
		return name + "/", false, true
	case element[0] == markPiece:
		return name, false, true
	}
	return "", false, false
}

func decodeName(s string) (string, bool) {
	if !strings.ContainsAny(s, "%^") {
		for i := range len(s) {
			if !plain(s[i]) {
				return "", false
			}
		}
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case plain(c):
			b.WriteByte(c)
		case c == '^' && i+1 < len(s) && 'a' <= s[i+1] && s[i+1] <= 'z':
			i++
			b.WriteByte(s[i] - 'a' + 'A')
		case c == '%' && i+2 < len(s):
			one, err := hex.DecodeString(s[i+1 : i+3])
			if err != nil {
				return "", false
			}
			i += 2
			b.WriteByte(one[0])
		default:
			return "", false
		}
	}
	return b.String(), true
}
