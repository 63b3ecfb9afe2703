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
	m := d.text.mul(s.ctm)
	at := place{size: math.Abs(s.size) * math.Hypot(m[2], m[3]), x: m[4] + s.rising*m[2], y: m[5] + s.rising*m[3]}
	if n := math.Hypot(m[0], m[1]); n > 0 {
		at.dx, at.dy = m[0]/n, m[1]/n
	} else {
		at.dx = 1
	}
	total := 0.0
	text := args[len(args)-1].text
	for len(text) > 0 {
		g, n := s.font.next(text)
		text = text[n:]
		width := g.width*s.size + s.char
		if g.space {
			width += s.word
		}
		width *= s.scale
		total += width
		d.out.add(g.text, at, width*m[0], width*m[1])
		at.x, at.y = at.x+width*m[0], at.y+width*m[1]
		if len(d.out.b) > d.pages.limits.Text {
			panic(refuse(TooLong, "has more than %d bytes of text", d.pages.limits.Text))
		}
	}
	d.advance(total)
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

// place is where a glyph stands: its origin, the direction of its line (a unit
// vector) and its height.
type place struct{ x, y, dx, dy, size float64 }

// lines joins glyphs into words and lines by where they stand.
type lines struct {
	b          []byte
	begun      bool
	last       place // of the last glyph
	text       string
	endX, endY float64 // of the last glyph
}

func (l *lines) String() string { return string(l.b) }

// add writes a glyph. wx and wy is how far it moves the pen.
func (l *lines) add(text string, at place, wx, wy float64) {
	if l.begun && !l.joint(text, at) {
		return
	}
	if strings.TrimSpace(text) == "" && text != "" {
		l.separate(' ')
	} else {
		l.b = append(l.b, text...)
	}
	l.begun, l.last, l.text = true, at, text
	l.endX, l.endY = at.x+wx, at.y+wy
}

// joint writes what stands between the last glyph and this one. It returns false
// for a glyph that is only drawn once more, to look bold.
func (l *lines) joint(text string, at place) bool {
	em := max(at.size, l.last.size, 0.01)
	x, y := at.x-l.endX, at.y-l.endY
	along := x*l.last.dx + y*l.last.dy // how far behind the last glyph, on its line
	off := y*l.last.dx - x*l.last.dy   // how far above its line
	turned := at.dx*l.last.dx+at.dy*l.last.dy < 0.9
	switch {
	case along < 0 && text == l.text && math.Abs(at.x-l.last.x) < 0.15*em && math.Abs(at.y-l.last.y) < 0.15*em:
		return false
	case turned, math.Abs(off) > 0.6*em, along < -1.2*em:
		l.endLine()
		if turned || off > 0.6*em || off < -2.2*em { // upwards: another column or box
			l.b = append(l.b, '\n')
		}
	case along > 1.6*em:
		l.separate('\t')
	case along > 0.18*em:
		l.separate(' ')
	}
	return true
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
