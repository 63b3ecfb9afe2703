package document

import (
	"bytes"
	"compress/zlib"
	"crypto/md5"
	"crypto/rc4"
	"fmt"
	"io"
	"strings"
)

// pdfFile writes PDF files object by object, right or wrong.
type pdfFile struct {
	objects []string // object n is objects[n-1]
	trailer string   // more entries
}

func (p *pdfFile) add(body string) int {
	p.objects = append(p.objects, body)
	return len(p.objects)
}

func stream(dict string, data []byte) string {
	return fmt.Sprintf("<< %s /Length %d >>\nstream\n%s\nendstream", dict, len(data), data)
}

func deflate(data []byte) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// deflateRepeat packs n times unit between head and tail.
func deflateRepeat(head, unit string, n int, tail string) []byte {
	var b bytes.Buffer
	z, err := zlib.NewWriterLevel(&b, zlib.BestSpeed)
	if err != nil {
		panic(err)
	}
	writeRepeat(z, head, unit, n, tail)
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// writeRepeat writes without ever holding it all.
func writeRepeat(w io.Writer, head, unit string, n int, tail string) {
	const block = 10_000
	many := strings.Repeat(unit, block)
	write := func(s string) {
		if _, err := io.WriteString(w, s); err != nil {
			panic(err)
		}
	}
	write(head)
	for ; n >= block; n -= block {
		write(many)
	}
	write(many[:n*len(unit)])
	write(tail)
}

// bytes is the file with a table of objects. Object 1 must be the catalogue.
func (p *pdfFile) bytes() []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n")
	places := make([]int, len(p.objects))
	for i, o := range p.objects {
		places[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(p.objects)+1)
	for _, at := range places {
		fmt.Fprintf(&b, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n", len(p.objects)+1, p.trailer, start)
	return b.Bytes()
}

// streamed is the file as PDF 1.5 writes it: objects in compressed streams and a
// compressed table. Streams themselves stay outside.
func (p *pdfFile) streamed() []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.5\n")
	n := len(p.objects)
	entry := make([][4]byte, n+3) // type, two bytes, one byte
	var index, body strings.Builder
	count, holder := 0, n+1
	for i, o := range p.objects {
		if strings.Contains(o, "\nstream\n") {
			entry[i+1] = [4]byte{1, byte(b.Len() >> 8), byte(b.Len()), 0}
			fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
			continue
		}
		fmt.Fprintf(&index, "%d %d ", i+1, body.Len())
		body.WriteString(o + "\n")
		entry[i+1] = [4]byte{2, byte(holder >> 8), byte(holder), byte(count)}
		count++
	}
	entry[holder] = [4]byte{1, byte(b.Len() >> 8), byte(b.Len()), 0}
	fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", holder, stream(fmt.Sprintf("/Type /ObjStm /N %d /First %d /Filter /FlateDecode", count, index.Len()), deflate([]byte(index.String()+body.String()))))
	entry[n+2] = [4]byte{1, byte(b.Len() >> 8), byte(b.Len()), 0}
	start := b.Len()
	var table []byte // with the predictor that writers use
	last := [4]byte{}
	for _, e := range entry {
		table = append(table, 2)
		for i := range e {
			table = append(table, e[i]-last[i])
		}
		last = e
	}
	fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", n+2, stream(fmt.Sprintf("/Type /XRef /Size %d /W [1 2 1] /Root 1 0 R /Filter /FlateDecode /DecodeParms << /Predictor 12 /Columns 4 >>", n+3), deflate(table)))
	fmt.Fprintf(&b, "startxref\n%d\n%%%%EOF\n", start)
	return b.Bytes()
}

const helvetica = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"

// pdfOf makes a page of each program, with fonts named F1, F2, ...
func pdfOf(fonts []string, programs ...string) *pdfFile {
	p := &pdfFile{}
	p.add("<< /Type /Catalog /Pages 2 0 R >>")
	p.add("") // the tree, below
	var names, kids strings.Builder
	for i, f := range fonts {
		fmt.Fprintf(&names, "/F%d %d 0 R ", i+1, p.add(f))
	}
	for _, program := range programs {
		content := p.add(stream("/Filter /FlateDecode", deflate([]byte(program))))
		fmt.Fprintf(&kids, "%d 0 R ", p.add(fmt.Sprintf("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R >>", content)))
	}
	p.objects[1] = fmt.Sprintf("<< /Type /Pages /Count %d /Kids [%s] /Resources << /Font << %s >> >> >>", len(programs), kids.String(), names.String())
	return p
}

// simplePDF makes pages of Helvetica, one per text, one line per line.
func simplePDF(texts ...string) *pdfFile {
	var programs []string
	for _, text := range texts {
		var b strings.Builder
		b.WriteString("BT /F1 12 Tf 14 TL 72 720 Td\n")
		for line := range strings.Lines(text) {
			fmt.Fprintf(&b, "(%s) Tj T*\n", strings.NewReplacer("\\", "\\\\", "(", "\\(", ")", "\\)").Replace(strings.TrimSuffix(line, "\n")))
		}
		b.WriteString("ET\n")
		programs = append(programs, b.String())
	}
	return pdfOf([]string{helvetica}, programs...)
}

var padding = []byte("\x28\xBF\x4E\x5E\x4E\x75\x8A\x41\x64\x00\x4E\x56\xFF\xFA\x01\x08\x2E\x2E\x00\xB6\xD0\x68\x3E\x80\x2F\x0C\xA9\xFE\x64\x53\x69\x7A")

func padded(password string) []byte { return append([]byte(password), padding...)[:32] }

func rc4of(key, data []byte) []byte {
	c, err := rc4.NewCipher(key)
	if err != nil {
		panic(err)
	}
	out := make([]byte, len(data))
	c.XORKeyStream(out, data)
	return out
}

// encryptedPDF is a page of text under the standard security handler with keys
// of 40 bits (revision 2) or 128 bits (revision 3).
// Source: ISO 32000-1:2008, 7.6.3, algorithms 1 to 5.
func encryptedPDF(password, text string, bits int) []byte {
	id := []byte("0123456789abcdef")
	again := 0 // rounds that revision 3 adds
	size, rounds, version := bits/8, 0, "/V 1 /R 2"
	if bits > 40 {
		again, rounds, version = 50, 19, fmt.Sprintf("/V 2 /R 3 /Length %d", bits)
	}
	hash := func(parts ...[]byte) []byte {
		sum := md5.Sum(bytes.Join(parts, nil))
		for range again {
			sum = md5.Sum(sum[:size])
		}
		return sum[:size]
	}
	seal := func(key, data []byte) []byte {
		data = rc4of(key, data)
		for i := 1; i <= rounds; i++ {
			turned := bytes.Clone(key)
			for j := range turned {
				turned[j] ^= byte(i)
			}
			data = rc4of(turned, data)
		}
		return data
	}
	o := seal(hash(padded("owner")), padded(password))
	key := hash(padded(password), o, []byte{0xfc, 0xff, 0xff, 0xff}, id)
	u := rc4of(key, padding)
	if bits > 40 {
		sum := md5.Sum(append(bytes.Clone(padding), id...))
		u = append(seal(key, sum[:]), make([]byte, 16)...)
	}

	p := simplePDF(text)
	const content = 4 // catalogue, pages, font, contents
	program := deflate([]byte("BT /F1 12 Tf 72 720 Td (" + text + ") Tj ET"))
	sum := md5.Sum(append(bytes.Clone(key), content, 0, 0, 0, 0))
	p.objects[content-1] = stream("/Filter /FlateDecode", rc4of(sum[:min(size+5, 16)], program))
	handler := p.add(fmt.Sprintf("<< /Filter /Standard %s /O <%x> /U <%x> /P -4 >>", version, o, u))
	p.trailer = fmt.Sprintf("/Encrypt %d 0 R /ID [<%[2]x> <%[2]x>]", handler, id)
	return p.bytes()
}
