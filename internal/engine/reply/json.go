package reply

import (
	"unicode/utf16"
	"unicode/utf8"
)

// Unquote reads a JSON string up to its closing quote, at which n points. ok is
// false when there is none or the string is malformed.
func Unquote(b []byte) (text string, n int, ok bool) {
	i := 0
	for i < len(b) && b[i] != '"' && b[i] != '\\' {
		i++
	}
	if i == len(b) {
		return "", 0, false
	}
	if b[i] == '"' {
		return string(b[:i]), i, utf8.Valid(b[:i])
	}
	out := append(make([]byte, 0, len(b[:i])+32), b[:i]...)
	for i < len(b) {
		switch c := b[i]; c {
		case '"':
			return string(out), i, utf8.Valid(out)
		case '\\':
			if i+1 == len(b) {
				return "", 0, false
			}
			var r rune
			switch b[i+1] {
			case '"', '\\', '/':
				r = rune(b[i+1])
			case 'b':
				r = '\b'
			case 'f':
				r = '\f'
			case 'n':
				r = '\n'
			case 'r':
				r = '\r'
			case 't':
				r = '\t'
			case 'u':
				if r, ok = hex4(b[i+2:]); !ok {
					return "", 0, false
				}
				i += 4
				if utf16.IsSurrogate(r) {
					if len(b) < i+4 || b[i+2] != '\\' || b[i+3] != 'u' {
						return "", 0, false
					}
					low, ok := hex4(b[i+4:])
					if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
						return "", 0, false
					}
					i += 6
				}
			default:
				return "", 0, false
			}
			out = utf8.AppendRune(out, r)
			i += 2
		default:
			out = append(out, c)
			i++
		}
	}
	return "", 0, false
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
