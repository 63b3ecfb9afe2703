package document

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// maxColumns of a sheet. Source: Excel specifications and limits.
const maxColumns = 16_384

// readXLSX writes each sheet as "# name", its rows and a blank line. Empty rows
// are left out, empty cells keep their tab.
// Source: ECMA-376, part 1, chapter 18 (SpreadsheetML).
func readXLSX(data []byte, l Limits, out *output) {
	o := openOffice(XLSX, data, l)
	name := o.main("xl/workbook.xml")
	all := o.relations(name)
	b := workbook{o: o, out: out}
	type sheet struct{ name, id string }
	var sheets []sheet
	for e := range o.elements(name) {
		switch {
		case e.start && e.name == "sheet":
			sheets = append(sheets, sheet{e.attr("name"), e.attr("id")})
		case e.start && e.name == "workbookPr":
			b.from1904 = e.attr("date1904") == "1" || e.attr("date1904") == "true"
		}
	}
	if s := related(all, "/sharedStrings"); o.has(s) {
		b.strings = readStrings(o, s, out.max)
	}
	if s := related(all, "/styles"); o.has(s) {
		b.formats = readFormats(o, s)
	}
	for _, s := range sheets {
		for _, r := range all {
			if r.id == s.id && strings.HasSuffix(r.kind, "/worksheet") {
				b.sheet(s.name, r.target)
			}
		}
	}
}

type workbook struct {
	o        *office
	out      *output
	strings  []string
	formats  []numberFormat // by style
	from1904 bool
}

// readStrings reads the table that text cells point into.
func readStrings(o *office, part string, limit int) []string {
	var all []string
	var b strings.Builder
	inText, phonetic, size := false, false, 0
	for e := range o.elements(part) {
		switch {
		case e.name == "t":
			inText = e.start && !phonetic
		case e.name == "rPh":
			phonetic = e.start
		case e.end && e.name == "si":
			all = append(all, b.String())
			b.Reset()
		case inText:
			if size += len(e.text); size > limit {
				panic(refuse(TooLong, "has more than %d bytes of text", limit))
			}
			b.WriteString(e.text)
		}
	}
	return all
}

// sheet writes one sheet.
func (b *workbook) sheet(name, part string) {
	b.out.text("# " + clean(name) + "\n")
	var (
		value          strings.Builder
		kind           string
		style          int
		column, filled int // of this cell, and cells of this row so far, from 0
		in             bool
	)
	for e := range b.o.elements(part) {
		switch {
		case e.start && e.name == "row":
			column, filled = -1, 0
		case e.end && e.name == "row":
			if filled > 0 {
				b.out.text("\n")
			}
		case e.start && e.name == "c":
			kind, style = e.attr("t"), e.number("s", 0)
			column = columnOf(e.attr("r"), column+1)
			value.Reset()
		case e.start && (e.name == "v" || e.name == "t"):
			in = true
		case e.end && (e.name == "v" || e.name == "t"):
			in = false
		case e.start && e.name == "rPh":
			kind = "phonetic" // what follows is how to speak it
		case e.end && e.name == "rPh":
			kind = "inlineStr"
		case e.end && e.name == "c":
			text := b.cell(kind, style, value.String())
			if text == "" || column >= maxColumns {
				continue
			}
			if column > filled-1 && column > 0 {
				b.out.text(strings.Repeat("\t", column-max(filled-1, 0)))
			}
			b.out.text(text)
			filled = column + 1
		case in && kind != "phonetic":
			if value.Len()+len(e.text) > b.out.max {
				panic(refuse(TooLong, "has more than %d bytes of text", b.out.max))
			}
			value.WriteString(e.text)
		}
	}
	b.out.text("\n")
}

// columnOf reads the letters of a reference such as "AB12"; next when there is
// none, as the format allows.
func columnOf(ref string, next int) int {
	n := 0
	for i := range len(ref) {
		c := ref[i] &^ 0x20
		if c < 'A' || c > 'Z' {
			break
		}
		if n = n*26 + int(c-'A') + 1; n > maxColumns {
			return maxColumns
		}
	}
	if n == 0 {
		return next
	}
	return n - 1
}

// clean keeps a value in its cell.
func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, s))
}

func (b *workbook) cell(kind string, style int, value string) string {
	switch kind {
	case "s":
		i, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil || i < 0 || i >= len(b.strings) {
			return ""
		}
		return clean(b.strings[i])
	case "inlineStr", "str", "e", "d":
		return clean(value)
	case "b":
		if strings.TrimSpace(value) == "1" {
			return "TRUE"
		}
		return "FALSE"
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		return clean(value)
	}
	format := general
	if style >= 0 && style < len(b.formats) {
		format = b.formats[style]
	}
	return format.show(v, b.from1904)
}

// numberFormat is how a number is meant, as far as it changes its meaning.
type numberFormat int

const (
	general numberFormat = iota
	percent
	date
	dateTime
	clock
)

// readFormats tells the number format of each cell style.
func readFormats(o *office, part string) []numberFormat {
	custom := make(map[int]numberFormat)
	var formats []numberFormat
	inCells := false
	for e := range o.elements(part) {
		switch {
		case e.start && e.name == "numFmt":
			custom[e.number("numFmtId", 0)] = formatOf(e.attr("formatCode"))
		case e.name == "cellXfs":
			inCells = e.start
		case e.start && e.name == "xf" && inCells:
			id := e.number("numFmtId", 0)
			f, ok := custom[id]
			if !ok {
				f = builtin(id)
			}
			formats = append(formats, f)
		}
	}
	return formats
}

// builtin tells the formats that files name by number alone.
// Source: ECMA-376, part 1, 18.8.30.
func builtin(id int) numberFormat {
	switch {
	case id == 9 || id == 10:
		return percent
	case id >= 14 && id <= 17 || id >= 27 && id <= 31 || id == 36 || id >= 50 && id <= 54 || id == 57 || id == 58:
		return date
	case id == 22:
		return dateTime
	case id >= 18 && id <= 21 || id >= 45 && id <= 47 || id >= 32 && id <= 35 || id == 55 || id == 56:
		return clock
	}
	return general
}

// formatOf reads a format code such as `yyyy\-mm\-dd hh:mm`; quoted and escaped
// characters, colours and other brackets mean nothing here.
func formatOf(code string) numberFormat {
	code, _, _ = strings.Cut(code, ";")
	var days, hours, share bool
	for i := 0; i < len(code); i++ {
		switch c := code[i] | 0x20; {
		case code[i] == '"':
			if n := strings.IndexByte(code[i+1:], '"'); n >= 0 {
				i += n + 1
			}
		case code[i] == '\\' || code[i] == '_' || code[i] == '*':
			i++
		case code[i] == '[':
			n := strings.IndexByte(code[i:], ']')
			if n < 0 {
				continue
			}
			if inner := strings.ToLower(code[i+1 : i+n]); inner != "" && strings.Trim(inner, "hms") == "" {
				hours = true
			}
			i += n
		case code[i] == '%':
			share = true
		case c == 'y' || c == 'd':
			days = true
		case c == 'h' || c == 's':
			hours = true
		case c == 'm':
			days = days || !hours && !strings.ContainsAny(code[i:], ":sS")
		}
	}
	switch {
	case days && hours:
		return dateTime
	case days:
		return date
	case hours:
		return clock
	case share:
		return percent
	}
	return general
}

// maxSerial is the last day that a sheet knows, 9999-12-31.
const maxSerial = 2_958_465

func (f numberFormat) show(v float64, from1904 bool) string {
	switch {
	case f == percent:
		return plainNumber(v*100) + "%"
	case f == general || v < 0 || v > maxSerial:
		return plainNumber(v)
	}
	days, part := math.Modf(v)
	seconds := math.Round(part * 86_400)
	if f == clock {
		n := int64(days)*86_400 + int64(seconds)
		return two(n/3600) + ":" + two(n/60%60) + ":" + two(n%60)
	}
	epoch := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	switch {
	case from1904:
		epoch = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	case days < 60:
		days++ // the sheet's calendar has a 29th of February 1900
	}
	t := epoch.AddDate(0, 0, int(days)).Add(time.Duration(seconds) * time.Second)
	if f == date {
		return t.Format("2006-01-02")
	}
	return t.Format("2006-01-02 15:04:05")
}

func two(n int64) string {
	if n < 10 {
		return "0" + strconv.FormatInt(n, 10)
	}
	return strconv.FormatInt(n, 10)
}

// plainNumber shows 15 digits, as a sheet does, so that 0.1+0.2 is 0.3.
func plainNumber(v float64) string {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 14, 64), 64)
	if err != nil {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	if a := math.Abs(r); a != 0 && (a < 1e-9 || a >= 1e15) {
		return strconv.FormatFloat(r, 'G', -1, 64)
	}
	return strconv.FormatFloat(r+0, 'f', -1, 64)
}
