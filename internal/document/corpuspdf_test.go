package document

import (
	"bytes"
	"fmt"
	"strings"
)

func pdfSamples() []sample {
	two := simplePDF("Hello world.\nSecond (line).", "Page two, 5 \x80")
	wantTwo := "Hello world.\nSecond (line).\n\nPage two, 5 €"
	good := two.bytes()
	at := bytes.LastIndex(good, []byte("\nxref\n")) + 1

	noTable := append(append([]byte{}, good[:at]...), "%%EOF"...)
	lost := bytes.Replace(good, fmt.Appendf(nil, "startxref\n%d", at), []byte("startxref\n3"), 1)
	loop := bytes.Replace(good, []byte("trailer\n<<"), fmt.Appendf(nil, "trailer\n<< /Prev %d", at), 1)

	var pages []string
	for i := range 1000 {
		pages = append(pages, fmt.Sprintf("Page %d", i+1))
	}
	badPage := simplePDF("one", "two")
	badPage.objects[5] = stream("/Filter /FlateDecode", []byte("x\x9cno deflate"))
	lzw := simplePDF("one")
	lzw.objects[3] = stream("/Filter /LZWDecode", []byte("\x80\x0b\x60\x50\x22\x0c\x0c\x85\x01"))

	deepArrays := simplePDF("one")
	deepArrays.objects[3] = stream("", []byte(strings.Repeat("[", 2_000_000)+" (x) Tj"))
	deepObject := simplePDF("one")
	deepObject.objects[1] = strings.Repeat("[", 4_000_000)

	self := simplePDF("one")
	self.objects[1] = "<< /Type /Pages /Count 9 /Kids [2 0 R 2 0 R 2 0 R] >>"
	hugeTable := bytes.Replace(good, []byte("/Size 8"), []byte("/Size 999999999999"), 1)
	openMap := pdfOf([]string{"<< /Type /Font /Subtype /Type1 /ToUnicode 6 0 R >>"}, "BT /F1 9 Tf (A) Tj ET")
	openMap.add(stream("", []byte("<")))
	big := simplePDF("one")
	big.trailer = "/Big " + strings.Repeat("<<", 10)

	return []sample{
		text("two pages", PDF, good, wantTwo),
		text("compressed objects", PDF, two.streamed(), wantTwo),
		text("fonts", PDF, fontsPDF(), "Grüße € 日本 fine\nfi–xffiA Ω"),
		text("standard encoding", PDF, pdfOf([]string{"<< /Type /Font /Subtype /Type1 /BaseFont /Times-Roman >>"}, "BT /F1 12 Tf (`It's \\256ne \\320 \\252\\341\\272) Tj ET").bytes(), "‘It’s fine — “Æ”"),
		text("open string in a character map", PDF, openMap.bytes(), "A"),
		text("layout", PDF, layoutPDF(), "Left one\nleft two\n\nRight one\nright two\n\nName\tPrice\nTea\t5\n\nBold once\n\nKerned words\n\nForm text"),
		text("scan", PDF, pdfOf(nil, "q 612 0 0 792 0 0 cm /Im1 Do Q BI /W 1 /H 1 /BPC 8 /CS /G ID \x00(\x01 EI").bytes(), ""),
		text("1,000 pages", PDF, simplePDF(pages...).bytes(), strings.Join(pages, "\n\n")),
		text("no table of objects", PDF, noTable, wantTwo),
		text("wrong place of the table", PDF, lost, wantTwo),
		text("bytes around", PDF, append([]byte("HTTP/1.1 200 OK\r\n\r\n"), append(append([]byte{}, good...), "\r\n\x00\x00trailing"...)...), wantTwo),
		text("version 2.0", PDF, bytes.Replace(good, []byte("%PDF-1.4\n"), []byte("%PDF-2.0\n"), 1), wantTwo),
		text("no password needed", PDF, encryptedPDF("", "free to read", 128), "free to read"),
		refused("password", PDF, encryptedPDF("secret", "hidden", 128), Encrypted, lockedMessage),
		refused("password, 40 bits", PDF, encryptedPDF("secret", "hidden", 40), Encrypted, lockedMessage),
		refused("10,000 pages", PDF, manyPages(10_000), TooLarge, "has more than 1000 pages"),
		refused("text", PDF, []byte("hello"), WrongFormat, "is not a valid pdf"),
		refused("docx", PDF, docxOf(""), WrongFormat, "is not a valid pdf: it is a zip archive"),
		refused("old word", PDF, oleFile(""), WrongFormat, "is not a valid pdf: it is an old Office file"),
		refused("header only", PDF, []byte("%PDF-1.7\n"), Broken, "is not a valid pdf: it is damaged"),
		refused("half", PDF, good[:len(good)/3], Broken, ""),
		refused("damaged page", PDF, badPage.bytes(), Broken, "is not a valid pdf: page 2 is damaged"),
		refused("old compression", PDF, lzw.bytes(), Unsupported, "is compressed on page 1 in a way that cannot be read"),
		text("table that refers to itself", PDF, loop, wantTwo), // the table is made anew
		refused("pages that hold themselves", PDF, self.bytes(), Broken, "is not a valid pdf: it is damaged"),
		text("arrays in a page", PDF, deepArrays.bytes(), ""),
		refused("arrays in an object", PDF, deepObject.bytes(), Broken, "is not a valid pdf: it is damaged"),
		text("huge table of objects", PDF, hugeTable, wantTwo),
		text("open dictionaries", PDF, big.bytes(), "one"),
	}
}

// manyPages is a flat tree of pages without contents.
func manyPages(n int) []byte {
	p := &pdfFile{}
	p.add("<< /Type /Catalog /Pages 2 0 R >>")
	p.add("")
	var kids strings.Builder
	for range n {
		fmt.Fprintf(&kids, "%d 0 R ", p.add("<< /Type /Page /Parent 2 0 R >>"))
	}
	p.objects[1] = fmt.Sprintf("<< /Type /Pages /Count %d /Kids [%s] >>", n, kids.String())
	return p.bytes()
}

// objectBomb keeps its catalogue behind half a gigabyte in a stream of objects.
func objectBomb() []byte {
	const far = 500_000_000
	var b bytes.Buffer
	b.WriteString("%PDF-1.5\n")
	holder := b.Len()
	packed := deflateRepeat("1 0 2 40 ", " ", far, fmt.Sprintf("%-40s<< /Type /Pages /Kids [2 0 R 2 0 R] >>", "<< /Type /Catalog /Pages 2 0 R >>"))
	fmt.Fprintf(&b, "3 0 obj\n%s\nendobj\n", stream(fmt.Sprintf("/Type /ObjStm /N 2 /First %d /Filter /FlateDecode", far+9), packed))
	table := b.Len()
	entries := []byte{0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 2, 0, 0, 0, 3, 1, 1, 0, 0, 0, byte(holder), 0, 1, byte(table >> 24), byte(table >> 16), byte(table >> 8), byte(table), 0}
	fmt.Fprintf(&b, "4 0 obj\n%s\nendobj\nstartxref\n%d\n%%%%EOF\n", stream("/Type /XRef /Size 5 /W [1 4 1] /Root 1 0 R", entries), table)
	return b.Bytes()
}

// fontsPDF writes with a simple font, a composite one with a ToUnicode map, and
// one whose codes are named by differences.
func fontsPDF() []byte {
	composite := "<< /Type /Font /Subtype /Type0 /BaseFont /ABCDEF+Any /Encoding /Identity-H /ToUnicode 7 0 R /DescendantFonts [<< /Type /Font /Subtype /CIDFontType2 /DW 1000 /W [1 [500 500] 3 9 600] >>] >>"
	named := "<< /Type /Font /Subtype /Type1 /BaseFont /Other /FirstChar 1 /LastChar 5 /Widths [500 500 500 500 500] /Encoding << /BaseEncoding /WinAnsiEncoding /Differences [1 /fi /endash /x /f_f_i /uni03A9] >> >>"
	p := pdfOf([]string{helvetica, composite, named}, strings.Join([]string{
		"BT /F1 12 Tf 72 720 Td (Gr\\374\\337e \\200 ) Tj",
		"/F2 12 Tf <00010002> Tj /F1 12 Tf ( ) Tj /F2 12 Tf [<0003> -10 <0004>] TJ",
		"0 -14 Td /F3 12 Tf <0102030441> Tj /F1 12 Tf ( ) Tj /F3 12 Tf <05> Tj ET",
	}, "\n"))
	// Objects 1 to 5 are catalogue, tree and fonts, 6 the contents, 7 the page.
	page := p.objects[6]
	p.objects[6] = stream("", []byte(`/CIDInit /ProcSet findresource begin 12 dict begin begincmap
1 begincodespacerange <0000> <FFFF> endcodespacerange
1 beginbfchar <0001> <65E5> endbfchar
3 beginbfrange <0002> <0002> [<672C>] <0003> <0003> <FB01> <0004> <0004> <006E0065> endbfrange
endcmap end end`))
	n := p.add(page)
	p.objects[1] = strings.Replace(p.objects[1], "/Kids [7 0 R ]", fmt.Sprintf("/Kids [%d 0 R]", n), 1)
	return p.bytes()
}

// layoutPDF has two columns, a table, text drawn twice, kerning and a form.
func layoutPDF() []byte {
	p := pdfOf([]string{helvetica}, strings.Join([]string{
		"BT /F1 12 Tf 72 720 Td (Left one) Tj 0 -14 Td (left two) Tj ET",
		"BT /F1 12 Tf 1 0 0 1 320 720 Tm 14 TL (Right one) Tj (right two) ' ET",
		"BT /F1 12 Tf 72 650 Td (Name) Tj 200 0 Td (Price) Tj -200 -14 Td (Tea) Tj 200 0 Td (5) Tj ET",
		"BT /F1 12 Tf 72 600 Td (Bold once) Tj ET",
		"BT /F1 12 Tf 72 550 Td [(K) 80 (erned) -300 (wor) 20 (ds)] TJ ET",
		"q 1 0 0 1 72 500 cm /X Do Q",
	}, "\n"))
	form := p.add(stream("/Type /XObject /Subtype /Form /Matrix [1 0 0 1 0 0] /Resources << /Font << /F1 3 0 R >> >>", []byte("BT /F1 12 Tf (Form text) Tj ET")))
	p.objects[1] = strings.Replace(p.objects[1], "/Resources <<", fmt.Sprintf("/Resources << /XObject << /X %d 0 R >>", form), 1)
	return p.bytes()
}
