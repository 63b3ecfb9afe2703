package cohere

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/family/body"
)

// citeWords is how many words in a row must stand in a document for a part of
// the reply to cite it.
const citeWords = 4

// document is one of "documents".
type document struct {
	id   string
	json []byte // as the caller gave it, with its id
	text string // what the model reads
}

// readDocuments reads objects of texts, such as {"title", "snippet"}. One
// without an id gets "doc_" and its number.
func (c *conversation) readDocuments(v *body.Value) {
	for i, item := range v.Items(body.Length{}) {
		if item.Object() == nil {
			continue
		}
		d := document{id: "doc_" + strconv.Itoa(i)}
		var fields []field
		for key, v := range item.Members() {
			if key != "id" {
				fields = append(fields, field{key, v.Text(body.Length{})})
			} else if id := v.Text(body.Length{Min: 1}); id != "" {
				d.id = id
			}
		}
		order(fields)
		d.json = body.AppendString([]byte(`{"id":`), d.id)
		var text strings.Builder
		for _, f := range fields {
			text.WriteString(f.key + ": " + f.text + "\n")
			d.json = append(body.AppendString(append(d.json, ','), f.key), ':')
			d.json = body.AppendString(d.json, f.text)
		}
		d.json = append(d.json, '}')
		d.text = text.String()
		c.documents = append(c.documents, d)
	}
}

// field is a part of a document.
type field struct{ key, text string }

// order sorts the parts of a document: the title first, the rest by name, so that
// the order in which a caller writes them changes nothing.
func order(fields []field) {
	slices.SortFunc(fields, func(a, b field) int {
		switch {
		case a.key == "title":
			return -1
		case b.key == "title":
			return 1
		}
		return strings.Compare(a.key, b.key)
	})
}

// render shows documents to the model.
func render(docs []document) string {
	var b strings.Builder
	b.WriteString(groundOn)
	for i := range docs {
		b.WriteString("\n\nDocument: " + docs[i].id + "\n" + strings.TrimSuffix(docs[i].text, "\n"))
	}
	return b.String()
}

// citation is a part of the reply that stands in documents. Start and end count
// characters.
type citation struct {
	start, end int
	text       string
	documents  []int
}

// word is a word of a text: without what is neither letter nor digit at its
// ends, in lower case.
type word struct {
	text     string
	from, to int // in bytes
}

func words(s string) []word {
	var out []word
	from := -1
	add := func(to int) {
		if from < 0 {
			return
		}
		raw := s[from:to]
		cut := strings.TrimLeftFunc(raw, outside)
		at := from + len(raw) - len(cut)
		if cut = strings.TrimRightFunc(cut, outside); cut != "" {
			out = append(out, word{strings.ToLower(cut), at, at + len(cut)})
		}
		from = -1
	}
	for i, r := range s {
		switch {
		case unicode.IsSpace(r):
			add(i)
		case from < 0:
			from = i
		}
	}
	add(len(s))
	return out
}

func outside(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }

// place is where a run of citeWords words begins in a document.
type place struct{ doc, at int }

// maxPlaces bounds how many places of one run are looked at.
const maxPlaces = 64

// cite finds the parts of a reply of at least citeWords words that stand in a
// document, from left to right, each as long as possible. They do not overlap.
func cite(text string, docs []document) []citation {
	texts := make([][]word, len(docs))
	runs := map[string][]place{}
	for d := range docs {
		texts[d] = words(docs[d].text)
		for i := 0; i+citeWords <= len(texts[d]); i++ {
			if k := key(texts[d][i:]); len(runs[k]) < maxPlaces {
				runs[k] = append(runs[k], place{d, i})
			}
		}
	}
	said := words(text)
	var out []citation
	seen, chars := 0, 0 // bytes of the text, and the characters in them
	for i := 0; i+citeWords <= len(said); {
		length, in := longest(said[i:], runs[key(said[i:])], texts)
		if length == 0 {
			i++
			continue
		}
		from, to := said[i].from, said[i+length-1].to
		chars += utf8.RuneCountInString(text[seen:from])
		seen = from
		out = append(out, citation{chars, chars + utf8.RuneCountInString(text[from:to]), text[from:to], in})
		i += length
	}
	return out
}

func key(w []word) string {
	var b strings.Builder
	for i := range citeWords {
		b.WriteString(w[i].text)
		b.WriteByte(' ')
	}
	return b.String()
}

// longest tells how many words of said stand at the best of the places, and in
// which documents so many do.
func longest(said []word, at []place, docs [][]word) (length int, in []int) {
	for _, p := range at {
		n := 0
		for n < len(said) && p.at+n < len(docs[p.doc]) && said[n].text == docs[p.doc][p.at+n].text {
			n++
		}
		switch {
		case n > length:
			length, in = n, []int{p.doc}
		case n == length && n > 0 && !slices.Contains(in, p.doc):
			in = append(in, p.doc)
		}
	}
	return length, in
}

func (c *conversation) appendCitations(b []byte, cs []citation) []byte {
	b = append(b, `"citations":[`...)
	for i := range cs {
		if i > 0 {
			b = append(b, ',')
		}
		b = body.AppendInt(append(b, `{"start":`...), cs[i].start)
		b = body.AppendInt(append(b, `,"end":`...), cs[i].end)
		b = body.AppendString(append(b, `,"text":`...), cs[i].text)
		b = append(b, `,"document_ids":[`...)
		for j, d := range cs[i].documents {
			if j > 0 {
				b = append(b, ',')
			}
			b = body.AppendString(b, c.documents[d].id)
		}
		b = append(b, `]}`...)
	}
	return append(b, ']')
}

// appendDocuments appends the documents that are cited.
func (c *conversation) appendDocuments(b []byte, cs []citation) []byte {
	b = append(b, `"documents":[`...)
	first := true
	for i := range c.documents {
		if !slices.ContainsFunc(cs, func(x citation) bool { return slices.Contains(x.documents, i) }) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, c.documents[i].json...)
	}
	return append(b, ']')
}
