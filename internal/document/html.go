package document

import (
	"io"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"golang.org/x/net/html/charset"
)

// readHTML writes what a reader of the page sees.
func readHTML(data []byte, out *output) {
	var text string
	switch enc, name, _ := charset.DetermineEncoding(data[:min(len(data), 1024)], ""); name {
	case "utf-8", "utf-16le", "utf-16be", "windows-1252":
		text = decodeText(HTML, data)
	default:
		decoded, err := enc.NewDecoder().Bytes(data)
		if err != nil {
			panic(broken(HTML))
		}
		text = decodeText(HTML, decoded)
	}
	p := page{out: out, z: html.NewTokenizer(strings.NewReader(text))}
	p.read()
}

// page turns tokens into lines.
type page struct {
	out *output
	z   *html.Tokenizer

	line    []byte // the line that is being written
	space   bool   // a space is due before the next word
	wrote   bool   // a line was written
	blank   bool   // a blank line is due before the next one
	pre     int    // depth of elements that keep white space
	hidden  atom.Atom
	depth   int // of elements of the name hidden
	inCell  bool
	cells   int // of this row
	numbers []int
}

func (p *page) read() {
	for {
		switch p.z.Next() {
		case html.ErrorToken:
			if p.z.Err() != io.EOF {
				panic(broken(HTML))
			}
			p.flush()
			return
		case html.TextToken:
			if p.hidden == 0 {
				p.words(string(p.z.Text()))
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := p.z.TagName()
			p.start(atom.Lookup(name))
		case html.EndTagToken:
			name, _ := p.z.TagName()
			p.end(atom.Lookup(name))
		}
	}
}

// start handles a start tag. Void elements have no end tag.
func (p *page) start(a atom.Atom) {
	if p.hidden != 0 {
		if a == p.hidden {
			p.depth++
		}
		return
	}
	switch a {
	case atom.Script, atom.Style, atom.Template, atom.Noscript, atom.Iframe, atom.Svg, atom.Math, atom.Object, atom.Select, atom.Textarea:
		p.hidden, p.depth = a, 1
	case atom.Br:
		p.lineBreak()
	case atom.Hr:
		p.block()
	case atom.Pre:
		p.block()
		p.pre++
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		p.block()
		p.mark(strings.Repeat("#", int(a.String()[1]-'0')) + " ")
	case atom.Ul:
		p.list(0)
	case atom.Ol:
		p.list(1)
	case atom.Li:
		p.newline()
		p.item()
	case atom.Tr:
		p.inCell = false // its end tag may be left out
		p.newline()
		p.cells = 0
	case atom.Td, atom.Th:
		if p.cells > 0 {
			p.line, p.space = append(p.line, '\t'), false
		}
		p.cells++
		p.inCell = true
	case atom.Table:
		p.block()
	case atom.P, atom.Blockquote, atom.Figure, atom.Section, atom.Article:
		p.block()
	default:
		if breaks(a) {
			p.newline()
		}
	}
}

func (p *page) end(a atom.Atom) {
	if p.hidden != 0 {
		if a == p.hidden {
			if p.depth--; p.depth == 0 {
				p.hidden = 0
			}
		}
		return
	}
	switch a {
	case atom.Pre:
		p.block()
		p.pre = max(0, p.pre-1)
	case atom.Ul, atom.Ol:
		if n := len(p.numbers); n > 0 {
			p.numbers = p.numbers[:n-1]
		}
		p.block()
	case atom.Td, atom.Th:
		p.inCell = false
	case atom.Table:
		p.inCell, p.cells = false, 0
		p.block()
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Blockquote, atom.Figure, atom.Section, atom.Article:
		p.block()
	default:
		if breaks(a) {
			p.newline()
		}
	}
}

// breaks tells the other elements that stand on lines of their own.
func breaks(a atom.Atom) bool {
	switch a {
	case atom.Title, atom.Address, atom.Aside, atom.Body, atom.Caption, atom.Center, atom.Dd, atom.Details, atom.Dialog, atom.Div, atom.Dl, atom.Dt,
		atom.Fieldset, atom.Figcaption, atom.Footer, atom.Form, atom.Head, atom.Header, atom.Html, atom.Legend, atom.Li, atom.Main, atom.Menu,
		atom.Nav, atom.Option, atom.Summary, atom.Tbody, atom.Tfoot, atom.Thead, atom.Tr:
		return true
	}
	return false
}

// maxIndent of list items, in levels.
const maxIndent = 10

func (p *page) list(first int) {
	if len(p.numbers) == 0 {
		p.block()
	} else {
		p.newline()
	}
	p.numbers = append(p.numbers, first)
}

func (p *page) item() {
	n := len(p.numbers)
	if n == 0 {
		p.mark("- ")
		return
	}
	p.mark(itemMark(n-1, p.numbers[n-1]))
	if p.numbers[n-1] > 0 {
		p.numbers[n-1]++
	}
}

// mark begins a line with something that is no word of the page.
func (p *page) mark(s string) {
	if !p.inCell {
		p.line, p.space = append(p.line, s...), false
	}
}

func (p *page) words(s string) {
	if p.pre > 0 {
		for i, l := range strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n") {
			if i > 0 {
				p.keepLine()
			}
			p.line = append(p.line, l...)
		}
		return
	}
	for i, w := range strings.FieldsFunc(s, isSpace) {
		if (i > 0 || p.space || isSpace(rune(s[0]))) && len(p.line) > 0 && p.line[len(p.line)-1] != '\t' && p.line[len(p.line)-1] != ' ' {
			p.line = append(p.line, ' ')
		}
		p.line, p.space = append(p.line, w...), false
	}
	if s != "" && isSpace(rune(s[len(s)-1])) {
		p.space = true
	}
}

// isSpace tells the white space that HTML collapses; no-break spaces stay.
func isSpace(r rune) bool { return r == ' ' || r == '\n' || r == '\t' || r == '\r' || r == '\f' }

// lineBreak ends a line where the page says so; inside a cell it is a space.
func (p *page) lineBreak() {
	if p.inCell {
		p.space = true
		return
	}
	p.newline()
}

// newline ends a line unless it is empty.
func (p *page) newline() {
	if p.inCell {
		p.space = true
		return
	}
	p.flush()
}

func (p *page) flush() {
	line := strings.TrimRight(string(p.line), " \t")
	if strings.TrimSpace(line) != "" {
		p.write(line)
	}
	p.line, p.space = p.line[:0], false
}

// keepLine ends a line of preformatted text, empty ones too.
func (p *page) keepLine() {
	if len(p.line) > 0 || p.wrote && !p.blank {
		p.write(strings.TrimRight(string(p.line), " \t"))
	}
	p.line = p.line[:0]
}

func (p *page) write(line string) {
	if p.blank && p.wrote {
		p.out.text("\n")
	}
	p.out.text(line)
	p.out.text("\n")
	p.wrote, p.blank = true, false
}

// block ends a line; the next one comes after a blank one.
func (p *page) block() {
	if p.inCell {
		p.space = true
		return
	}
	p.flush()
	p.blank = true
}
