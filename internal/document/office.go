package document

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"path"
	"strconv"
	"strings"
)

// maxMembers of an Office file. Real ones have dozens.
const maxMembers = 10_000

// maxDepth of elements in Office XML. Real ones stay below 50.
const maxDepth = 512

// office is an opened docx or xlsx: a zip of XML parts.
// Source: ECMA-376, Office Open XML, part 2.
type office struct {
	format  Format
	members map[string]*zip.File
	left    int64 // bytes that may still be inflated
	limit   int64
}

func openOffice(f Format, data []byte, l Limits) *office {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		panic(broken(f))
	}
	if len(z.File) > maxMembers {
		panic(refuse(TooLarge, "has more than %d parts", maxMembers))
	}
	o := &office{format: f, members: make(map[string]*zip.File, len(z.File)), left: l.Unpacked, limit: l.Unpacked}
	for _, m := range z.File {
		name := strings.TrimPrefix(strings.ReplaceAll(m.Name, "\\", "/"), "/")
		if _, twice := o.members[name]; !twice {
			o.members[name] = m
		}
	}
	return o
}

// kinds are the parts by which one format is told from another.
var kinds = [...]struct{ main, format string }{{"word/", "docx"}, {"xl/", "xlsx"}, {"ppt/", "pptx"}}

// wrong says that the archive is no file of this format, and what it is instead.
func (o *office) wrong() *Error {
	for _, k := range kinds {
		if k.format == string(o.format) {
			continue
		}
		for name := range o.members {
			if strings.HasPrefix(name, k.main) {
				return refuse(WrongFormat, "is not a valid %s: it is a %s", o.format, k.format)
			}
		}
	}
	return refuse(WrongFormat, "is not a valid %s: it is a zip archive of something else", o.format)
}

// main finds the part that everything starts from.
func (o *office) main(usual string) string {
	for _, r := range o.relations("") {
		if strings.HasSuffix(r.kind, "/officeDocument") && o.has(r.target) {
			if path.Dir(r.target) != path.Dir(usual) { // another program's part
				break
			}
			return r.target
		}
	}
	if !o.has(usual) {
		panic(o.wrong())
	}
	return usual
}

func (o *office) has(name string) bool { return o.members[name] != nil }

// relation of one part to another.
type relation struct{ id, kind, target string }

// relations of a part; "" means the whole file.
func (o *office) relations(of string) []relation {
	dir, file := path.Split(of)
	name := dir + "_rels/" + file + ".rels"
	if !o.has(name) {
		return nil
	}
	var all []relation
	for e := range o.elements(name) {
		if !e.start || e.name != "Relationship" || e.attr("TargetMode") == "External" {
			continue
		}
		target := e.attr("Target")
		if rooted, ok := strings.CutPrefix(target, "/"); ok {
			target = rooted
		} else {
			target = path.Join(dir, target)
		}
		all = append(all, relation{e.attr("Id"), e.attr("Type"), target})
	}
	return all
}

// related finds the part of a kind, such as "/styles"; "" when there is none.
func related(all []relation, kind string) string {
	for _, r := range all {
		if strings.HasSuffix(r.kind, kind) {
			return r.target
		}
	}
	return ""
}

// element is one step through a part: a start tag, an end tag or text.
type element struct {
	start, end bool
	name       string // without its name space
	text       string
	attrs      []xml.Attr
}

func (e *element) attr(name string) string {
	for _, a := range e.attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// number is an attribute as a number, def when it is none.
func (e *element) number(name string, def int) int {
	n, err := strconv.Atoi(e.attr(name))
	if err != nil {
		return def
	}
	return n
}

// elements steps through a part. Entities other than those of XML itself,
// document types, open tags at the end and deep nesting are refused. It panics
// with *Error.
func (o *office) elements(name string) func(yield func(*element) bool) {
	return func(yield func(*element) bool) {
		m := o.members[name]
		if m == nil {
			panic(broken(o.format))
		}
		if m.Flags&1 != 0 {
			panic(refuse(Encrypted, "is protected with a password"))
		}
		r, err := m.Open()
		if err != nil {
			panic(broken(o.format))
		}
		defer r.Close() // #nosec G104 -- opened for reading
		d := xml.NewDecoder(&inflating{o, r})
		var open []string
		for {
			t, err := d.RawToken()
			if err == io.EOF && len(open) == 0 {
				return
			}
			if err != nil {
				o.fail(err)
			}
			var e element
			switch t := t.(type) {
			case xml.StartElement:
				if len(open) >= maxDepth {
					panic(refuse(Broken, "is not a valid %s: it is nested too deeply", o.format))
				}
				open = append(open, t.Name.Local)
				e = element{start: true, name: t.Name.Local, attrs: t.Attr}
			case xml.EndElement:
				if len(open) == 0 || open[len(open)-1] != t.Name.Local {
					panic(broken(o.format))
				}
				open = open[:len(open)-1]
				e = element{end: true, name: t.Name.Local}
			case xml.CharData:
				e = element{text: string(t)}
			case xml.Directive:
				panic(refuse(Broken, "is not a valid %s: it declares a document type", o.format))
			default:
				continue
			}
			if !yield(&e) {
				return
			}
		}
	}
}

func (o *office) fail(err error) {
	if e, ok := errors.AsType[*Error](err); ok {
		panic(e)
	}
	panic(broken(o.format))
}

// inflating counts what is inflated.
type inflating struct {
	o *office
	r io.Reader
}

func (i *inflating) Read(p []byte) (int, error) {
	if i.o.left <= 0 {
		return 0, refuse(TooLarge, "unpacks to more than %d MB", i.o.limit>>20)
	}
	n, err := i.r.Read(p[:min(int64(len(p)), i.o.left)])
	i.o.left -= int64(n)
	return n, err
}

// itemMark is what stands before an item of a list: level 0 is the outermost,
// number 0 means a bullet.
func itemMark(level, number int) string {
	indent := strings.Repeat("  ", min(level, maxIndent))
	if number == 0 {
		return indent + "- "
	}
	return indent + strconv.Itoa(number) + ". "
}
