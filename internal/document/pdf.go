package document

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	lib "github.com/ledongthuc/pdf"
)

// readPDF writes the text of each page in the order in which the page draws it.
// Source: ISO 32000-1:2008.
func readPDF(data []byte, l Limits, out *output) {
	r := openPDF(data)
	p := pages{limits: l, locked: r.Trailer().Key("Encrypt").Kind() != lib.Null, out: out, left: l.Unpacked, fonts: make(map[string]*font), known: make(map[string]*font), spelled: spelling()}
	root := r.Trailer().Key("Root").Key("Pages")
	if root.Kind() != lib.Dict {
		panic(broken(PDF))
	}
	p.tree(root, lib.Value{}, 0)
	if len(p.found) == 0 {
		panic(broken(PDF))
	}
	for i, page := range p.found {
		p.page(i+1, page)
	}
}

// openPDF opens what is there, forgiving what all readers forgive: bytes before
// the header and behind the end, and a damaged table of objects.
func openPDF(data []byte) *lib.Reader {
	if i := bytes.Index(data[:min(len(data), headerWithin)], []byte("%PDF-")); i > 0 {
		data = data[i:]
	}
	if i := bytes.LastIndex(data, []byte("%%EOF")); i > 0 {
		data = data[:i+5]
	}
	r, err := open(data)
	if err != nil && bytes.Contains(data, []byte("/Encrypt")) {
		panic(refuse(Encrypted, "%s", lockedMessage))
	}
	if err != nil || r.Trailer().Key("Root").Kind() != lib.Dict {
		fixed, ok := repair(data)
		if !ok {
			panic(broken(PDF))
		}
		if r, err = open(fixed); err != nil {
			panic(broken(PDF))
		}
	}
	return r
}

const lockedMessage = "is protected with a password, or in a way that cannot be read"

func open(data []byte) (*lib.Reader, error) {
	f := &source{data: data, left: 64*int64(len(data)) + 16<<20}
	r, err := lib.NewReader(f, int64(len(data)))
	f.left = 1 << 62
	return r, err
}

// header is the only form of header that the library takes.
const header = "%PDF-1.7\n"

// source is a document with a header of that form. While it is being opened it
// gives a bounded number of bytes, which ends tables that refer to themselves.
type source struct {
	data []byte
	left int64
}

var errLoop = errors.New("the table of objects is read over and over")

func (s *source) ReadAt(p []byte, at int64) (int, error) {
	if s.left -= int64(len(p)); s.left < 0 {
		panic(errLoop)
	}
	if at < 0 || at >= int64(len(s.data)) {
		return 0, io.EOF
	}
	n := copy(p, s.data[at:])
	if at < int64(len(header)) {
		copy(p[:n], header[at:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// maxObjects of a document that is repaired.
const maxObjects = 500_000

var (
	objectStart = regexp.MustCompile(`(?:^|[\r\n \t])(\d{1,7}) (\d{1,5}) obj\b`)
	catalogue   = regexp.MustCompile(`/Type\s*/Catalog\b`)
	rootOf      = regexp.MustCompile(`/Root\s+(\d{1,7}) (\d{1,5}) R`)
)

// repair writes a new table of objects behind a document whose own is damaged.
// Of several objects with one number the last counts.
func repair(data []byte) ([]byte, bool) {
	type place struct{ at, generation int }
	objects := make(map[int]place)
	root, highest := "", 0
	for _, m := range objectStart.FindAllSubmatchIndex(data, maxObjects) {
		number, err := strconv.Atoi(string(data[m[2]:m[3]]))
		generation, err2 := strconv.Atoi(string(data[m[4]:m[5]]))
		if err != nil || err2 != nil || number == 0 || number >= maxObjects || generation > 65_535 {
			continue
		}
		objects[number] = place{m[2], generation}
		highest = max(highest, number)
		body := data[m[1]:min(len(data), m[1]+512)]
		if end := bytes.Index(body, []byte("endobj")); end >= 0 {
			body = body[:end]
		}
		if catalogue.Match(body) {
			root = fmt.Sprintf("%d %d", number, generation)
		}
	}
	if all := rootOf.FindAllSubmatch(data, -1); len(all) > 0 && root == "" {
		root = string(all[len(all)-1][1]) + " " + string(all[len(all)-1][2])
	}
	if root == "" {
		return nil, false
	}
	var b bytes.Buffer
	b.Write(data)
	b.WriteString("\n")
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", highest+1)
	for n := 1; n <= highest; n++ {
		if o, ok := objects[n]; ok {
			fmt.Fprintf(&b, "%010d %05d n \n", o.at, o.generation)
		} else {
			b.WriteString("0000000000 00000 f \n")
		}
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root %s R >>\nstartxref\n%d\n%%%%EOF", highest+1, root, start)
	return b.Bytes(), true
}

// onePage is a page and what it inherits.
type onePage struct{ page, resources lib.Value }

// pages walks the tree of pages and reads them.
type pages struct {
	limits Limits
	out    *output
	found  []onePage
	locked bool             // it is encrypted, with an empty password
	nodes  int              // of the tree, seen so far
	left   int64            // bytes that may still be inflated
	fonts  map[string]*font // of this page or form, by name
	known  map[string]*font // of all pages, by what their dictionaries say

	spelled *strings.Replacer
}

// spelling takes joined letters apart, so that words read as they are spelled,
// and removes NUL, which is no text.
func spelling() *strings.Replacer {
	return strings.NewReplacer("\ufb00", "ff", "\ufb01", "fi", "\ufb02", "fl", "\ufb03", "ffi", "\ufb04", "ffl", "\ufb05", "st", "\ufb06", "st", "\x00", "")
}

// maxTree is the depth of the tree of pages. Real ones stay below 10.
const maxTree = 64

func (p *pages) tree(node, resources lib.Value, depth int) {
	if p.nodes++; p.nodes > 4*p.limits.Pages+1000 || depth > maxTree {
		panic(broken(PDF))
	}
	if own := node.Key("Resources"); own.Kind() == lib.Dict {
		resources = own
	}
	kids := node.Key("Kids")
	if kids.Kind() != lib.Array {
		if len(p.found) >= p.limits.Pages {
			panic(refuse(TooLarge, "has more than %d pages", p.limits.Pages))
		}
		p.found = append(p.found, onePage{node, resources})
		return
	}
	for i := range kids.Len() {
		kid := kids.Index(i)
		if kid.Kind() != lib.Dict {
			panic(broken(PDF)) // a page is missing
		}
		p.tree(kid, resources, depth+1)
	}
}

// page writes one page. A page that cannot be read ends it all: half a document
// would be a wrong one.
func (p *pages) page(number int, page onePage) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Error:
			panic(r)
		default:
			if p.locked { // most likely in a way that is not known
				panic(refuse(Encrypted, "%s", lockedMessage))
			}
			if strings.Contains(fmt.Sprint(r), "unknown filter") {
				panic(refuse(Unsupported, "is compressed on page %d in a way that cannot be read", number))
			}
			panic(refuse(Broken, "is not a valid pdf: page %d is damaged", number))
		}
	}()
	b := &lines{}
	d := &drawing{pages: p, out: b, cmd: maxCommands}
	clear(p.fonts)
	d.run(p.contents(page.page.Key("Contents")), page.resources, 0)
	text := p.spelled.Replace(strings.TrimSpace(b.String()))
	if text == "" {
		return
	}
	if len(p.out.b) > 0 {
		p.out.text("\n\n")
	}
	p.out.text(text)
}

// contents inflates a stream, or several that count as one.
func (p *pages) contents(v lib.Value) []byte {
	switch v.Kind() {
	case lib.Stream:
		return p.stream(v)
	case lib.Array:
		var all []byte
		for i := range v.Len() {
			if s := v.Index(i); s.Kind() == lib.Stream {
				all = append(append(all, p.stream(s)...), '\n')
			}
		}
		return all
	}
	return nil
}

// maxStream is the most that one stream inflates to.
const maxStream = 48 << 20

func (p *pages) stream(v lib.Value) []byte {
	most := min(p.left, maxStream)
	data, err := io.ReadAll(io.LimitReader(v.Reader(), most+1))
	if int64(len(data)) > most {
		panic(refuse(TooLarge, "unpacks to more than %d MB", most>>20))
	}
	p.left -= int64(len(data))
	if err != nil && !errors.Is(err, zlib.ErrChecksum) { // a wrong checksum at the end changes nothing
		panic(err)
	}
	return data
}
