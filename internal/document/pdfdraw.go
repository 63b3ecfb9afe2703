package document

import (
	"math"
	"strings"

	lib "github.com/ledongthuc/pdf"
)

// maxCommands of one page, forms included.
const maxCommands = 20_000_000

// maxForms is how deep forms may draw forms.
const maxForms = 12

// matrix is [a b c d e f] of ISO 32000-1:2008, 8.3.3.
type matrix [6]float64

var identity = matrix{1, 0, 0, 1, 0, 0}

// mul applies m first, then n.
func (m matrix) mul(n matrix) matrix {
	return matrix{
		m[0]*n[0] + m[1]*n[2], m[0]*n[1] + m[1]*n[3],
		m[2]*n[0] + m[3]*n[2], m[2]*n[1] + m[3]*n[3],
		m[4]*n[0] + m[5]*n[2] + n[4], m[4]*n[1] + m[5]*n[3] + n[5],
	}
}

// state is the part of the graphics state that places text.
type state struct {
	ctm                    matrix
	font                   *font
	size, char, word       float64
	scale, leading, rising float64
}

// drawing runs the program of a page and collects what it writes.
type drawing struct {
	pages *pages
	out   *lines
	cmd   int // commands left
	state state
	stack []state
	text  matrix // where the next glyph goes
	line  matrix // where the line began
}

// run executes a program. resources names its fonts and forms.
func (d *drawing) run(program []byte, resources lib.Value, depth int) {
	if depth == 0 {
		d.state = state{ctm: identity, scale: 1}
	}
	x := &lexer{b: program}
	var args []token
	for {
		t := x.next()
		switch t.kind {
		case tokenEnd:
			return
		case tokenOperator:
			if d.cmd--; d.cmd < 0 {
				panic(refuse(TooLong, "has a page with more than %d commands", maxCommands))
			}
			switch t.text {
			case "BI":
				x.skipImage()
			case "Do":
				d.form(args, resources, depth)
			case "Tf":
				if len(args) >= 2 {
					d.state.font = d.pages.font(resources, args[0].text)
					d.state.size = args[1].num
				}
			default:
				d.command(t.text, args)
			}
			args = args[:0]
		case tokenClose:
		default:
			if len(args) < 64 { // no command has as many
				args = append(args, t)
			}
		}
	}
}

// num is the i-th argument, counted from the last; 0 when it is missing.
func num(args []token, fromLast int) float64 {
	if i := len(args) - 1 - fromLast; i >= 0 {
		return args[i].num
	}
	return 0
}

func matrixOf(args []token) matrix {
	return matrix{num(args, 5), num(args, 4), num(args, 3), num(args, 2), num(args, 1), num(args, 0)}
}

// maxSaved states of one page.
const maxSaved = 512

func (d *drawing) command(op string, args []token) {
	s := &d.state
	switch op {
	case "q":
		if len(d.stack) < maxSaved {
			d.stack = append(d.stack, *s)
		}
	case "Q":
		if n := len(d.stack); n > 0 {
			*s, d.stack = d.stack[n-1], d.stack[:n-1]
		}
	case "cm":
		s.ctm = matrixOf(args).mul(s.ctm)
	case "BT":
		d.text, d.line = identity, identity
	case "Tc":
		s.char = num(args, 0)
	case "Tw":
		s.word = num(args, 0)
	case "Tz":
		s.scale = num(args, 0) / 100
	case "TL":
		s.leading = num(args, 0)
	case "Ts":
		s.rising = num(args, 0)
	case "Td":
		d.move(num(args, 1), num(args, 0))
	case "TD":
		s.leading = -num(args, 0)
		d.move(num(args, 1), num(args, 0))
	case "Tm":
		d.line = matrixOf(args)
		d.text = d.line
	case "T*":
		d.move(0, -s.leading)
	case "Tj":
		d.show(args)
	case "'":
		d.move(0, -s.leading)
		d.show(args)
	case "\"":
		s.word, s.char = num(args, 2), num(args, 1)
		d.move(0, -s.leading)
		d.show(args)
	case "TJ":
		if len(args) == 0 {
			return
		}
		for i, t := range args[len(args)-1].list {
			if t.kind == tokenNumber {
				d.advance(-t.num / 1000 * s.size * s.scale)
				continue
			}
			d.show(args[len(args)-1].list[i : i+1])
		}
	}
}

func (d *drawing) move(x, y float64) {
	d.line = matrix{1, 0, 0, 1, x, y}.mul(d.line)
	d.text = d.line
}

func (d *drawing) advance(x float64) { d.text = matrix{1, 0, 0, 1, x, 0}.mul(d.text) }

// show writes the last argument.
func (d *drawing) show(args []token) {
	s := &d.state
	if len(args) == 0 || args[len(args)-1].kind != tokenString || s.font == nil {
		return
	}
	for _, g := range s.font.glyphs(args[len(args)-1].text) {
		at := matrix{s.size * s.scale, 0, 0, s.size, 0, s.rising}.mul(d.text).mul(s.ctm)
		width := g.width*s.size + s.char
		if g.space {
			width += s.word
		}
		d.advance(width * s.scale)
		end := matrix{1, 0, 0, 1, 0, s.rising}.mul(d.text).mul(s.ctm)
		d.out.add(g.text, at, end[4], end[5])
		if len(d.out.b) > d.pages.limits.Text {
			panic(refuse(TooLong, "has more than %d bytes of text", d.pages.limits.Text))
		}
	}
}

// form draws a form, which is a program of its own.
func (d *drawing) form(args []token, resources lib.Value, depth int) {
	if len(args) == 0 || depth >= maxForms {
		return
	}
	v := resources.Key("XObject").Key(args[len(args)-1].text)
	if v.Kind() != lib.Stream || v.Key("Subtype").Name() != "Form" {
		return
	}
	if own := v.Key("Resources"); own.Kind() == lib.Dict {
		resources = own
	}
	saved, stack, text, line := d.state, d.stack, d.text, d.line
	d.stack = nil
	if m := v.Key("Matrix"); m.Len() == 6 {
		var own matrix
		for i := range own {
			own[i] = m.Index(i).Float64()
		}
		d.state.ctm = own.mul(d.state.ctm)
	}
	fonts := d.pages.fonts
	d.pages.fonts = make(map[string]*font) // the same names mean other fonts
	d.run(d.pages.stream(v), resources, depth+1)
	d.pages.fonts = fonts
	d.state, d.stack, d.text, d.line = saved, stack, text, line
}

// lines joins glyphs into words and lines by where they stand.
type lines struct {
	b          []byte
	x, y       float64 // end of the last glyph
	dx, dy     float64 // direction of its line
	size       float64
	begun      bool
	lastX      float64 // where the last glyph began
	last       string
	tab, space bool
}

func (l *lines) String() string { return string(l.b) }

// add places a glyph. at is its matrix, ex and ey its end.
func (l *lines) add(text string, at matrix, ex, ey float64) {
	x, y := at[4], at[5]
	size := math.Hypot(at[2], at[3])
	dx, dy := at[0], at[1]
	if n := math.Hypot(dx, dy); n > 0 {
		dx, dy = dx/n, dy/n
	} else {
		dx, dy = 1, 0
	}
	if !l.begun {
		l.place(text, x, ex, ey, dx, dy, size)
		return
	}
	em := max(size, l.size, 0.01)
	along := (x-l.x)*l.dx + (y-l.y)*l.dy // how far behind the last glyph, on its line
	off := (y-l.y)*l.dx - (x-l.x)*l.dy   // how far above its line
	turned := dx*l.dx+dy*l.dy < 0.9
	if text == l.last && math.Abs(x-l.lastX) < 0.15*em && math.Abs(off) < 0.15*em && along < 0 {
		return // drawn twice to look bold
	}
	switch {
	case turned, math.Abs(off) > 0.6*em, along < -1.2*em:
		gap := math.Abs(off)
		l.endLine()
		if turned || gap > 2.2*em {
			l.b = append(l.b, '\n')
		}
	case along > 1.6*em:
		l.separate('\t')
	case along > 0.18*em:
		l.separate(' ')
	}
	l.place(text, x, ex, ey, dx, dy, size)
}

func (l *lines) place(text string, x, ex, ey, dx, dy, size float64) {
	if strings.TrimSpace(text) == "" && text != "" {
		l.separate(' ')
	} else {
		l.b = append(l.b, text...)
	}
	l.begun, l.last, l.lastX = true, text, x
	l.x, l.y, l.dx, l.dy, l.size = ex, ey, dx, dy, size
}

// separate puts one separator between words; a tab wins over spaces.
func (l *lines) separate(c byte) {
	n := len(l.b)
	if n == 0 || l.b[n-1] == '\n' || l.b[n-1] == '\t' {
		return
	}
	if l.b[n-1] == ' ' {
		l.b[n-1] = c
		return
	}
	l.b = append(l.b, c)
}

func (l *lines) endLine() {
	for n := len(l.b); n > 0 && (l.b[n-1] == ' ' || l.b[n-1] == '\t'); n-- {
		l.b = l.b[:n-1]
	}
	if n := len(l.b); n > 0 && l.b[n-1] != '\n' {
		l.b = append(l.b, '\n')
	}
}
