package document

import (
	"bytes"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

// decodeText returns plain text as UTF-8 without a byte order mark.
func decodeText(f Format, data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		data = data[3:]
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		text, err := unicode.UTF16(unicode.BigEndian, unicode.ExpectBOM).NewDecoder().Bytes(data)
		if err != nil || len(data)%2 == 1 {
			panic(broken(f))
		}
		data = text
	}
	if bytes.IndexByte(data, 0) >= 0 {
		panic(refuse(Broken, "is not a valid %s: it holds bytes that are no text", f))
	}
	if utf8.Valid(data) {
		return string(data)
	}
	text, err := charmap.Windows1252.NewDecoder().Bytes(data)
	if err != nil {
		panic(broken(f))
	}
	return string(text)
}
