package document

import (
	"strconv"
	"strings"
)

// readDOCX writes paragraphs, headings, lists, tables and footnotes. What a
// revision deleted, comments, and headers and footers of pages are left out.
// Source: ECMA-376, part 1, chapter 17 (WordprocessingML).
func readDOCX(data []byte, l Limits, out *output) {
	o := openOffice(DOCX, data, l)
	name := o.main("word/document.xml")
	all := o.relations(name)
	d := &wordText{out: out, counts: make(map[listLevel]int)}
	if s := related(all, "/styles"); o.has(s) {
		d.styles = readStyles(o, s)
	}
	if n := related(all, "/numbering"); o.has(n) {
		d.lists = readLists(o, n)
	}
	d.read(o, name)
	for _, notes := range []string{"/footnotes", "/endnotes"} {
		if n := related(all, notes); o.has(n) {
			d.notes = true
			d.read(o, n)
		}
	}
}

// wordStyle is what a paragraph style brings along.
type wordStyle struct {
	heading int // level from 1; 0 means none
	list    string
	level   int
}

// readStyles finds the styles of headings, whose ids differ by language while
// their names do not, and of lists.
func readStyles(o *office, part string) map[string]wordStyle {
	styles := make(map[string]wordStyle)
	id, s := "", wordStyle{}
	for e := range o.elements(part) {
		switch {
		case e.start && e.name == "style":
			id, s = e.attr("styleId"), wordStyle{}
		case e.start && e.name == "name" && id != "":
			s.heading = max(s.heading, headingOf(e.attr("val")))
		case e.start && e.name == "outlineLvl" && id != "":
			if n := e.number("val", 9); n >= 0 && n < 9 {
				s.heading = n + 1
			}
		case e.start && e.name == "numId" && id != "":
			s.list = e.attr("val")
		case e.start && e.name == "ilvl" && id != "":
			s.level = e.number("val", 0)
		case e.end && e.name == "style":
			if s != (wordStyle{}) {
				styles[id] = s
			}
			id = ""
		}
	}
	return styles
}

// headingOf is the level of a style by its name: "heading 2" or "Title".
func headingOf(name string) int {
	name = strings.ToLower(strings.ReplaceAll(name, " ", ""))
	if name == "title" {
		return 1
	}
	if n, err := strconv.Atoi(strings.TrimPrefix(name, "heading")); err == nil && strings.HasPrefix(name, "heading") && n >= 1 && n <= 9 {
		return n
	}
	return 0
}

// listLevel is one level of one list.
type listLevel struct {
	list  string
	level int
}

// readLists tells the numbered levels: their first number.
func readLists(o *office, part string) map[listLevel]int {
	abstract := make(map[listLevel]int)
	lists := make(map[listLevel]int)
	id, list, level := "", "", 0
	for e := range o.elements(part) {
		if !e.start {
			continue
		}
		switch e.name {
		case "abstractNum":
			id = e.attr("abstractNumId")
		case "lvl":
			level = e.number("ilvl", 0)
			abstract[listLevel{id, level}] = 1
		case "start":
			abstract[listLevel{id, level}] = max(1, e.number("val", 1))
		case "numFmt":
			if f := e.attr("val"); f == "bullet" || f == "none" {
				delete(abstract, listLevel{id, level})
			}
		case "num":
			list = e.attr("numId")
		case "abstractNumId":
			for n := range maxIndent {
				if first, ok := abstract[listLevel{e.attr("val"), n}]; ok {
					lists[listLevel{list, n}] = first
				}
			}
		}
	}
	return lists
}

// wordText turns the elements of a part into lines.
type wordText struct {
	out    *output
	styles map[string]wordStyle
	lists  map[listLevel]int // first numbers
	counts map[listLevel]int // last numbers
	notes  bool              // the part holds footnotes

	open  []*paragraph // a paragraph may hold others, in a text box
	skip  string       // element whose contents are left out
	depth int          // of elements of the name skip
	runs  int          // depth of w:t

	tables int      // depth
	row    []string // cells of the outermost table's row
	cell   []string // paragraphs of its cell
	item   bool     // the last line was an item of a list
	note   string
}

type paragraph struct {
	text    strings.Builder
	style   wordStyle
	heading int
	listed  bool // the paragraph itself names its list
}

func (d *wordText) read(o *office, part string) {
	for e := range o.elements(part) {
		switch {
		case d.skip != "":
			if e.name == d.skip && e.start {
				d.depth++
			} else if e.name == d.skip && e.end {
				if d.depth--; d.depth == 0 {
					d.skip = ""
				}
			}
		case e.start:
			d.start(e)
		case e.end:
			d.end(e.name)
		case d.runs > 0:
			d.add(e.text)
		}
	}
}

func (d *wordText) add(s string) {
	if n := len(d.open); n > 0 {
		b := &d.open[n-1].text
		if b.Len()+len(s) > d.out.max {
			d.out.text(s + b.String()) // says that it is too long
		}
		b.WriteString(s)
	}
}

func (d *wordText) start(e *element) {
	switch e.name {
	case "Fallback", "moveFrom", "del", "rubyPr", "rt", "sectPrChange", "pPrChange", "tblPrChange":
		d.skip, d.depth = e.name, 1
	case "footnote", "endnote":
		if k := e.attr("type"); k != "" && k != "normal" { // separators
			d.skip, d.depth = e.name, 1
		}
		d.note = e.attr("id")
	case "p":
		d.open = append(d.open, &paragraph{})
	case "t":
		d.runs++
	case "tab":
		if len(d.open) > 0 && len(e.attrs) == 0 { // with attributes it is a tab stop
			d.add("\t")
		}
	case "br", "cr":
		d.add("\n")
	case "noBreakHyphen":
		d.add("-")
	case "footnoteReference", "endnoteReference":
		d.add("[" + e.attr("id") + "]")
	case "tbl":
		d.tables++
	default:
		if n := len(d.open); n > 0 {
			d.property(d.open[n-1], e)
		}
	}
}

// property reads what a paragraph says of itself.
func (d *wordText) property(p *paragraph, e *element) {
	switch e.name {
	case "pStyle":
		list := p.style
		p.style = d.styles[e.attr("val")]
		p.heading = max(p.style.heading, headingOf(e.attr("val")))
		if p.listed {
			p.style.list, p.style.level = list.list, list.level
		}
	case "outlineLvl":
		if n := e.number("val", 9); n >= 0 && n < 9 {
			p.heading = n + 1
		}
	case "ilvl":
		p.style.level = max(0, e.number("val", 0))
	case "numId":
		p.style.list, p.listed = e.attr("val"), true
	}
}

func (d *wordText) end(name string) {
	switch name {
	case "t":
		d.runs--
	case "p":
		if n := len(d.open); n > 0 {
			p := d.open[n-1]
			d.open = d.open[:n-1]
			d.paragraph(p)
		}
	case "tc":
		if d.tables == 1 {
			d.row = append(d.row, strings.Join(d.cell, " "))
			d.cell = nil
		}
	case "tr":
		if d.tables == 1 {
			d.line(strings.TrimRight(strings.Join(d.row, "\t"), "\t"), false)
			d.row = nil
		}
	case "tbl":
		d.tables--
		if d.tables == 0 {
			d.out.text("\n")
			d.cell, d.row = nil, nil
		}
	}
}

// paragraph writes a finished one, or keeps it for the cell or the paragraph
// around it.
func (d *wordText) paragraph(p *paragraph) {
	text := strings.TrimRight(p.text.String(), " \t\n")
	switch {
	case text == "":
	case len(d.open) > 0:
		d.add("\n" + text + "\n")
	case d.tables > 0:
		d.cell = append(d.cell, strings.Join(strings.Fields(text), " "))
	case d.notes:
		if d.note != "" {
			text, d.note = "["+d.note+"] "+strings.TrimSpace(text), ""
		}
		d.line(text, false)
	case p.heading > 0:
		d.line(strings.Repeat("#", min(p.heading, 6))+" "+strings.TrimSpace(text), false)
		d.out.text("\n")
	case p.style.list != "" && p.style.list != "0":
		d.line(d.mark(p.style)+strings.TrimSpace(text), true)
	default:
		d.line(text, false)
		d.out.text("\n")
	}
}

// line writes one line. Items of a list stand close together.
func (d *wordText) line(s string, item bool) {
	if d.item && !item {
		d.out.text("\n")
	}
	d.out.text(s)
	d.out.text("\n")
	d.item = item
}

// mark counts an item and returns its bullet or number.
func (d *wordText) mark(s wordStyle) string {
	l := listLevel{s.list, s.level}
	for n := s.level + 1; n < maxIndent; n++ {
		delete(d.counts, listLevel{s.list, n}) // a new outer item starts inner lists anew
	}
	first, numbered := d.lists[l]
	if !numbered {
		return itemMark(s.level, 0)
	}
	n, ok := d.counts[l]
	if !ok {
		n = first - 1
	}
	d.counts[l] = n + 1
	return itemMark(s.level, n+1)
}
