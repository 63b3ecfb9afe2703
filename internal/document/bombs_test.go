package document

import (
	"fmt"
	"strings"
)

// bombs are small files that want to become large.
func bombs() []sample {
	strung := xlsxParts("", "")
	strung["xl/sharedStrings.xml"] = "<sst>@</sst>"
	bomb := simplePDF("one")
	bomb.objects[3] = stream("/Filter /FlateDecode", deflateRepeat("", " ", 300<<20, ""))
	doubleBomb := simplePDF("one")
	doubleBomb.objects[3] = stream("/Filter [/FlateDecode /FlateDecode]", deflate(deflateRepeat("", " ", 300<<20, "")))
	busy := simplePDF("one")
	busy.objects[3] = stream("/Filter /FlateDecode", deflateRepeat("", "q ", 20<<20, ""))
	wordy := simplePDF("one")
	wordy.objects[3] = stream("/Filter /FlateDecode", deflateRepeat("BT /F1 9 Tf ", "(aaaaaaaaaaaaaaaa) Tj ", 2_000_000, ""))
	forms := simplePDF("one")
	forms.objects[3] = stream("", []byte("/X Do"))
	form := forms.add(stream("/Type /XObject /Subtype /Form /Resources << /XObject << /X 6 0 R >> /Font << /F1 3 0 R >> >>",
		[]byte("BT /F1 9 Tf (again ) Tj ET "+strings.Repeat("/X Do ", 50))))
	forms.objects[1] = fmt.Sprintf("<< /Type /Pages /Count 1 /Kids [5 0 R] /Resources << /XObject << /X %d 0 R >> >> >>", form)
	return []sample{
		{name: "bomb of text", format: DOCX, data: zipRepeat(docxParts(para("", "@")), "word/document.xml", "a", 40<<20), kind: TooLong, also: TooLarge},
		{name: "bomb of one token", format: DOCX, data: zipRepeat(docxParts(para("", "@")), "word/document.xml", "a", 300<<20), kind: TooLarge, also: TooLong},
		{name: "bomb of markup", format: DOCX, data: zipRepeat(docxParts("@"), "word/document.xml", "<w:p></w:p>", 28_000_000), kind: TooLarge, also: TooLong},
		{name: "bomb of empty texts", format: XLSX, data: zipRepeat(strung, "xl/sharedStrings.xml", "<si/>", 50_000_000), kind: TooLarge, also: TooLong},
		refused("bomb", PDF, bomb.bytes(), TooLarge, "unpacks to more than 48 MB"),
		refused("bomb in a bomb", PDF, doubleBomb.bytes(), TooLarge, "unpacks to more than 48 MB"),
		{name: "20 million commands", format: PDF, data: busy.bytes(), kind: TooLong, also: TooLarge},
		{name: "32 MB of text", format: PDF, data: wordy.bytes(), kind: TooLong, also: TooLarge},
		{name: "bomb of objects", format: PDF, data: objectBomb(), kind: TooLong, also: TooLarge},
		{name: "forms that draw themselves", format: PDF, data: forms.bytes(), kind: TooLong, also: TooLarge},
	}
}
