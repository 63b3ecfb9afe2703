package document

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	lib "github.com/ledongthuc/pdf"
)

// glyph is one character code of a string.
type glyph struct {
	text  string
	width float64 // of a font of size 1
	space bool    // word spacing applies
}

// font turns codes into text and widths. Both are kept as they are asked for.
type font struct {
	v         lib.Value
	composite bool // codes of several bytes
	simple    [256]*glyph
	known     map[string]*glyph // of composite fonts
	unicode   *charMap
	encoder   lib.TextEncoding // of /Differences; nil without
	names     map[byte]string  // of /Differences
	base      *charmap.Charmap
	widths    map[int]float64 // of composite fonts, by code
	first     int
	list      []float64 // of simple fonts
	missing   float64
}

// maxFonts are kept for the pages to come.
const maxFonts = 1000

// font finds a font by its name in the resources. Names belong to a page, so
// fonts of different pages are known by what their dictionaries say.
func (p *pages) font(resources lib.Value, name string) *font {
	if f, ok := p.fonts[name]; ok {
		return f
	}
	v := resources.Key("Font").Key(name)
	says := v.String()
	f, ok := p.known[says]
	if !ok {
		f = p.newFont(v)
		if len(p.known) >= maxFonts {
			clear(p.known)
		}
		p.known[says] = f
	}
	p.fonts[name] = f
	return f
}

func (p *pages) newFont(v lib.Value) *font {
	f := &font{v: v, composite: v.Key("Subtype").Name() == "Type0"}
	if u := v.Key("ToUnicode"); u.Kind() == lib.Stream {
		f.unicode = readCharMap(p.stream(u))
	}
	if f.composite {
		f.known = make(map[string]*glyph)
		f.compositeWidths()
	} else {
		f.simpleWidths()
		f.encoding()
	}
	return f
}

// maxWidths of one font.
const maxWidths = 1 << 17

func (f *font) compositeWidths() {
	d := f.v.Key("DescendantFonts").Index(0)
	f.missing = 1
	if dw := d.Key("DW"); dw.Kind() == lib.Integer || dw.Kind() == lib.Real {
		f.missing = dw.Float64() / 1000
	}
	f.widths = make(map[int]float64)
	w := d.Key("W")
	for i, n := 0, w.Len(); i+1 < n && len(f.widths) < maxWidths; {
		first, second := int(w.Index(i).Int64()), w.Index(i+1)
		if second.Kind() == lib.Array {
			for j := range second.Len() {
				f.widths[first+j] = second.Index(j).Float64() / 1000
			}
			i += 2
			continue
		}
		width := w.Index(i+2).Float64() / 1000
		for c := first; c <= int(second.Int64()) && c-first < 1<<16; c++ {
			f.widths[c] = width
		}
		i += 3
	}
}

func (f *font) simpleWidths() {
	unit := 1.0 / 1000
	if m := f.v.Key("FontMatrix"); f.v.Key("Subtype").Name() == "Type3" && m.Len() == 6 {
		unit = m.Index(0).Float64()
	}
	f.first = int(f.v.Key("FirstChar").Int64())
	w := f.v.Key("Widths")
	for i := range min(w.Len(), 256) {
		f.list = append(f.list, w.Index(i).Float64()*unit)
	}
	f.missing = f.v.Key("FontDescriptor").Key("MissingWidth").Float64() * unit
	if f.list == nil && f.missing == 0 {
		f.missing = 0.5 // one of the fonts that every reader has; about right on average
		if strings.Contains(f.v.Key("BaseFont").Name(), "Courier") {
			f.missing = 0.6
		}
	}
}

// encoding reads how a simple font names its codes.
func (f *font) encoding() {
	enc := f.v.Key("Encoding")
	switch base := enc.Key("BaseEncoding").Name() + enc.Name(); base {
	case "MacRomanEncoding":
		f.base = charmap.Macintosh
	case "WinAnsiEncoding":
		f.base = charmap.Windows1252
	}
	if enc.Kind() == lib.Dict { // it knows the names of glyphs; other encodings it would read with less care than this
		lf := lib.Font{V: f.v}
		f.encoder = lf.Encoder()
	}
	differences := enc.Key("Differences")
	if differences.Len() == 0 {
		return
	}
	f.names = make(map[byte]string)
	code := 0
	for i := range differences.Len() {
		v := differences.Index(i)
		switch v.Kind() {
		case lib.Integer:
			code = int(v.Int64())
		case lib.Name:
			if code >= 0 && code < 256 {
				f.names[byte(code)] = v.Name()
			}
			code++
		}
	}
}

// next returns the first glyph of s, which is not empty, and how many bytes it
// takes.
func (f *font) next(s string) (*glyph, int) {
	if f.composite {
		n := min(f.unicode.codeLength(s), len(s))
		g, ok := f.known[s[:n]]
		if !ok {
			g = f.compositeGlyph(s[:n])
			f.known[strings.Clone(s[:n])] = g
		}
		return g, n
	}
	c := s[0]
	if f.simple[c] == nil {
		g := glyph{text: f.simpleText(c), width: f.missing, space: c == ' '}
		if i := int(c) - f.first; i >= 0 && i < len(f.list) {
			g.width = f.list[i]
		}
		f.simple[c] = &g
	}
	return f.simple[c], 1
}

func (f *font) compositeGlyph(code string) *glyph {
	n := 0
	for i := range len(code) {
		n = n<<8 | int(code[i])
	}
	g := &glyph{width: f.missing, space: code == " "}
	if w, ok := f.widths[n]; ok {
		g.width = w
	}
	text, ok := f.unicode.lookup(code)
	switch {
	case ok:
		g.text = text
	case strings.Contains(f.v.Key("Encoding").Name(), "UCS2") || strings.Contains(f.v.Key("Encoding").Name(), "UTF16"):
		g.text = utf16Text(code)
	default:
		g.text = string(utf8.RuneError) // a glyph whose character the file does not tell
	}
	return g
}

func (f *font) simpleText(c byte) string {
	if text, ok := f.unicode.lookup(string([]byte{c})); ok {
		return text
	}
	if name, ok := f.names[c]; ok {
		if text, ok := nameText(name); ok {
			return text
		}
		if text := f.encoder.Decode(string([]byte{c})); utf8.ValidString(text) && (c >= ' ' || text[0] != c) {
			return text
		}
		if c < ' ' {
			return string(utf8.RuneError) // a glyph whose name says nothing
		}
	}
	if f.base != nil {
		return string(f.base.DecodeByte(c))
	}
	return standardText(c)
}

// standardText decodes the encoding that fonts have when they name none, where
// it differs from Windows-1252.
// Source: ISO 32000-1:2008, annex D.2, column STD.
func standardText(c byte) string {
	const from, to = 0xa4, 0xfb
	high := [to - from + 1]string{
		0xa4 - from: "⁄", 0xa6 - from: "ƒ", 0xa8 - from: "¤", 0xa9 - from: "'", 0xaa - from: "“", 0xac - from: "‹", 0xad - from: "›",
		0xae - from: "fi", 0xaf - from: "fl", 0xb1 - from: "–", 0xb2 - from: "†", 0xb3 - from: "‡", 0xb4 - from: "·", 0xb7 - from: "•",
		0xb8 - from: "‚", 0xb9 - from: "„", 0xba - from: "”", 0xbc - from: "…", 0xbd - from: "‰", 0xc1 - from: "`", 0xc2 - from: "´",
		0xd0 - from: "—", 0xe1 - from: "Æ", 0xe3 - from: "ª", 0xe8 - from: "Ł", 0xe9 - from: "Ø", 0xea - from: "Œ", 0xeb - from: "º",
		0xf1 - from: "æ", 0xf5 - from: "ı", 0xf8 - from: "ł", 0xf9 - from: "ø", 0xfa - from: "œ", 0xfb - from: "ß",
	}
	switch {
	case c == '\'':
		return "’"
	case c == '`':
		return "‘"
	case c >= from && c <= to && high[c-from] != "":
		return high[c-from]
	}
	return string(charmap.Windows1252.DecodeByte(c))
}

// nameText reads the glyph names that say their characters: "uni20AC", "u1F600",
// "f_f_i".
// Source: Adobe Glyph List Specification, section 2.
func nameText(name string) (string, bool) {
	name, _, _ = strings.Cut(name, ".")
	if parts := strings.Split(name, "_"); len(parts) > 1 && len(name) == 2*len(parts)-1 {
		return strings.Join(parts, ""), true
	}
	digits, ok := strings.CutPrefix(name, "uni")
	if !ok {
		if digits, ok = strings.CutPrefix(name, "u"); !ok {
			return "", false
		}
	}
	if len(digits) < 4 || len(digits) > 6 {
		return "", false
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || !utf8.ValidRune(rune(n)) { // #nosec G115 -- six hex digits at most
		return "", false
	}
	return string(rune(n)), true // #nosec G115 -- see above
}

// charMap is a ToUnicode map. A nil map knows nothing and has codes of two bytes.
// Source: ISO 32000-1:2008, 9.10.3.
type charMap struct {
	spaces []codeRange
	chars  map[string]string
	ranges []codeRange
}

// codeRange maps the codes lo..hi, which have one length, to text that grows by
// one for each.
type codeRange struct{ lo, hi, text string }

// maxMapped entries of one map.
const maxMapped = 1 << 17

func readCharMap(program []byte) *charMap {
	m := &charMap{chars: make(map[string]string)}
	x := &lexer{b: program}
	var args []token
	for {
		t := x.next()
		switch t.kind {
		case tokenEnd:
			return m
		case tokenOperator:
			m.take(t.text, args)
			args = args[:0]
		case tokenClose:
		default:
			if len(args) < maxMapped {
				args = append(args, t)
			}
		}
	}
}

func (m *charMap) take(op string, args []token) {
	switch op {
	case "endcodespacerange":
		for ; len(args) >= 2; args = args[2:] {
			if lo, hi := args[0].text, args[1].text; len(lo) == len(hi) && len(lo) >= 1 && len(lo) <= 4 {
				m.spaces = append(m.spaces, codeRange{lo: lo, hi: hi})
			}
		}
	case "endbfchar":
		for ; len(args) >= 2 && len(m.chars) < maxMapped; args = args[2:] {
			m.chars[args[0].text] = utf16Text(args[1].text)
		}
	case "endbfrange":
		for ; len(args) >= 3 && len(m.ranges) < maxMapped; args = args[3:] {
			lo, hi := args[0].text, args[1].text
			if len(lo) != len(hi) || lo == "" || lo > hi {
				continue
			}
			if args[2].kind == tokenString {
				m.ranges = append(m.ranges, codeRange{lo, hi, args[2].text})
				continue
			}
			code := []byte(lo)
			for _, t := range args[2].list {
				if len(m.chars) >= maxMapped || string(code) > hi {
					break
				}
				m.chars[string(code)] = utf16Text(t.text)
				code[len(code)-1]++
			}
		}
	}
}

// codeLength is how many bytes the first code of s has.
func (m *charMap) codeLength(s string) int {
	if m == nil || len(m.spaces) == 0 {
		return 2
	}
	for n := 1; n <= 4 && n <= len(s); n++ {
		for _, r := range m.spaces {
			if len(r.lo) == n && within(s[:n], r) {
				return n
			}
		}
	}
	return len(m.spaces[0].lo)
}

// within compares each byte by itself, as ranges of codes are meant.
func within(code string, r codeRange) bool {
	for i := range len(code) {
		if code[i] < r.lo[i] || code[i] > r.hi[i] {
			return false
		}
	}
	return true
}

func (m *charMap) lookup(code string) (string, bool) {
	if m == nil {
		return "", false
	}
	if text, ok := m.chars[code]; ok {
		return text, !strings.Contains(text, "\x00") // writers put 0 where they do not know
	}
	for _, r := range m.ranges {
		if len(r.lo) != len(code) || code < r.lo || code > r.hi || len(r.text) == 0 {
			continue
		}
		up := 0
		for i := range len(code) {
			up = up<<8 + int(code[i]) - int(r.lo[i])
		}
		text := []rune(utf16Text(r.text))
		if len(text) == 0 {
			continue
		}
		text[len(text)-1] += rune(up) // #nosec G115 -- a code has at most four bytes
		return string(text), !strings.Contains(string(text), "\x00")
	}
	return "", false
}

// utf16Text decodes big-endian UTF-16; one byte alone stands for itself.
func utf16Text(s string) string {
	if len(s) == 1 {
		return string(rune(s[0]))
	}
	u := make([]uint16, 0, len(s)/2)
	for i := 0; i+1 < len(s); i += 2 {
		u = append(u, uint16(s[i])<<8|uint16(s[i+1]))
	}
	return string(utf16.Decode(u))
}
