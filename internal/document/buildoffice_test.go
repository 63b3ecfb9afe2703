package document

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// zipOf packs parts by name, in the order of their names.
func zipOf(parts map[string]string) []byte { return zipRepeat(parts, "", "", 0) }

// zipRepeat writes unit n times in place of the "@" of one part.
func zipRepeat(parts map[string]string, bomb, unit string, n int) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if n > 0 {
		z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		w, err := z.Create(name)
		switch head, tail, ok := strings.Cut(parts[name], "@"); {
		case err != nil:
		case ok && name == bomb:
			writeRepeat(w, head, unit, n, tail)
		default:
			_, err = io.WriteString(w, parts[name])
		}
		if err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

const (
	wordSpace  = `xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"`
	sheetSpace = `xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"`
	relations  = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
)

// rels is a part of relations: id, kind, target, id, kind, target ...
func rels(all ...string) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8" standalone="yes"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">`)
	for i := 0; i < len(all); i += 3 {
		fmt.Fprintf(&b, `<Relationship Id="%s" Type="%s/%s" Target="%s"/>`, all[i], relations, all[i+1], all[i+2])
	}
	return b.String() + `</Relationships>`
}

const contentTypes = `<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`

// docxParts are the parts of a docx with this body.
func docxParts(body string) map[string]string {
	return map[string]string{
		"[Content_Types].xml": contentTypes,
		"_rels/.rels":         rels("rId1", "officeDocument", "word/document.xml"),
		"word/_rels/document.xml.rels": rels("rId1", "styles", "styles.xml", "rId2", "numbering", "numbering.xml",
			"rId3", "footnotes", "/word/footnotes.xml"),
		"word/document.xml": `<?xml version="1.0"?><w:document ` + wordSpace + `><w:body>` + body + `</w:body></w:document>`,
		"word/styles.xml": `<w:styles ` + wordSpace + `><w:style w:type="paragraph" w:styleId="berschrift2"><w:name w:val="heading 2"/></w:style>` +
			`<w:style w:type="paragraph" w:styleId="Bullets"><w:name w:val="List Bullet"/><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style></w:styles>`,
		"word/numbering.xml": `<w:numbering ` + wordSpace + `>` +
			`<w:abstractNum w:abstractNumId="7"><w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="bullet"/></w:lvl></w:abstractNum>` +
			`<w:abstractNum w:abstractNumId="8"><w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/></w:lvl><w:lvl w:ilvl="1"><w:start w:val="3"/><w:numFmt w:val="decimal"/></w:lvl></w:abstractNum>` +
			`<w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="8"/></w:num></w:numbering>`,
		"word/footnotes.xml": `<w:footnotes ` + wordSpace + `><w:footnote w:type="separator" w:id="0"><w:p><w:r><w:t>---</w:t></w:r></w:p></w:footnote>` +
			`<w:footnote w:id="2"><w:p><w:r><w:t>The note.</w:t></w:r></w:p></w:footnote></w:footnotes>`,
	}
}

func docxOf(body string) []byte { return zipOf(docxParts(body)) }

// para is a paragraph; props go into its properties.
func para(props, text string) string {
	return `<w:p><w:pPr>` + props + `</w:pPr><w:r><w:t xml:space="preserve">` + text + `</w:t></w:r></w:p>`
}

func item(list, level int, text string) string {
	return para(fmt.Sprintf(`<w:numPr><w:ilvl w:val="%d"/><w:numId w:val="%d"/></w:numPr>`, level, list), text)
}

// xlsxParts are the parts of a workbook with two sheets.
func xlsxParts(first, second string) map[string]string {
	return map[string]string{
		"[Content_Types].xml": contentTypes,
		"_rels/.rels":         rels("rId1", "officeDocument", "xl/workbook.xml"),
		"xl/workbook.xml":     `<workbook ` + sheetSpace + `><sheets><sheet name="Sales &amp; more" sheetId="1" r:id="rId1"/><sheet name="Empty" sheetId="2" r:id="rId2"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": rels("rId1", "worksheet", "worksheets/sheet1.xml", "rId2", "worksheet", "/xl/worksheets/sheet2.xml",
			"rId3", "sharedStrings", "sharedStrings.xml", "rId4", "styles", "styles.xml"),
		"xl/sharedStrings.xml": `<sst ` + sheetSpace + `><si><t>Name</t></si><si><r><t>Ri</t></r><r><t>ch</t></r><rPh><t>spoken</t></rPh></si><si><t xml:space="preserve">two` + "\n" + `lines</t></si></sst>`,
		"xl/styles.xml": `<styleSheet ` + sheetSpace + `><numFmts><numFmt numFmtId="164" formatCode="yyyy\-mm\-dd\ hh:mm"/><numFmt numFmtId="165" formatCode="[Red]0.0&quot;days&quot;"/></numFmts>` +
			`<cellStyleXfs><xf numFmtId="0"/></cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="10"/><xf numFmtId="21"/><xf numFmtId="165"/></cellXfs></styleSheet>`,
		"xl/worksheets/sheet1.xml": `<worksheet ` + sheetSpace + `><sheetData>` + first + `</sheetData></worksheet>`,
		"xl/worksheets/sheet2.xml": `<worksheet ` + sheetSpace + `><sheetData>` + second + `</sheetData></worksheet>`,
	}
}

func xlsxOf(first, second string) []byte { return zipOf(xlsxParts(first, second)) }
