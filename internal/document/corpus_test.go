package document

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// sample is one file of the corpus: either its text or its refusal is known.
type sample struct {
	name   string
	format Format
	data   []byte
	want   string
	kind   Kind
	say    string // Message; "" means any, where several limits may be the first
	also   Kind   // another kind that is as right
}

func text(name string, f Format, data []byte, want string) sample {
	return sample{name: name, format: f, data: data, want: want}
}

func refused(name string, f Format, data []byte, kind Kind, say string) sample {
	return sample{name: name, format: f, data: data, kind: kind, say: say}
}

// TestCorpus holds every file to its text or its refusal, to 256 MB and to 5 s.
// It runs alone, because it measures both.
func TestCorpus(t *testing.T) {
	samples := plainSamples()
	samples = append(samples, htmlSamples()...)
	samples = append(samples, docxSamples()...)
	samples = append(samples, xlsxSamples()...)
	samples = append(samples, pdfSamples()...)
	if !testing.Short() {
		samples = append(samples, bombs()...)
	}
	if len(samples) < 30 {
		t.Fatalf("%d samples, want 30 or more", len(samples))
	}
	most := struct {
		rss   int64
		by    string
		took  time.Duration
		long  string
		start time.Duration
	}{start: time.Hour}
	for _, s := range samples {
		forgetPeak(t)
		t.Run(string(s.format)+"/"+s.name, func(t *testing.T) {
			var rss int64
			e := New(Limits{observe: func(p *os.ProcessState) { rss = residentBytes(p) }})
			begin := time.Now()
			got, err := e.Text(t.Context(), s.format, s.data)
			took := time.Since(begin)
			s.check(t, got, err)
			if rss > 256<<20 {
				t.Errorf("the reading process had %d MB", rss>>20)
			}
			if took > 3*e.limits.Time { // a busy machine is late to start it and to end it
				t.Errorf("took %v", took)
			}
			if rss > most.rss {
				most.rss, most.by = rss, s.name
			}
			if took > most.took {
				most.took, most.long = took, s.name
			}
			if rss > 0 {
				most.start = min(most.start, took)
			}
		})
	}
	t.Logf("%d files; most memory %d MB (%s); longest %v (%s); quickest process %v", len(samples), most.rss>>20, most.by, most.took, most.long, most.start)
}

// forgetPeak lowers the mark of the most memory that this process had, which
// Linux hands down to the processes that it starts.
func forgetPeak(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "linux" {
		debug.FreeOSMemory()
		if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *sample) check(t *testing.T, got string, err error) {
	t.Helper()
	if s.kind == 0 {
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		if got != s.want {
			t.Errorf("text\n%q\nwant\n%q", short(got), short(s.want))
		}
		return
	}
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != s.kind && e.Kind != s.also || s.say != "" && e.Message != s.say || got != "" {
		t.Errorf("got %q, %v; want kind %d %q", short(got), err, s.kind, s.say)
	}
	if ok && (e.Message == "" || strings.ContainsAny(e.Message, "/\\") || e.Error() != "the document "+e.Message) {
		t.Errorf("error %q", e)
	}
}

func short(s string) string {
	if len(s) > 400 {
		return s[:200] + " ... " + s[len(s)-200:]
	}
	return s
}

func plainSamples() []sample {
	euro := "Größe: 5 € — “x”"
	return []sample{
		text("empty", TXT, nil, ""),
		text("utf-8", TXT, []byte(euro+"\r\n\tend\n"), euro+"\r\n\tend\n"),
		text("byte order mark", MD, []byte("\xef\xbb\xbf# "+euro), "# "+euro),
		text("utf-16 little", TXT, []byte("\xff\xfeG\x00r\x00\xfc\x00\xdf\x00=\xd8\x00\xde"), "Grüß😀"),
		text("utf-16 big", CSV, []byte("\xfe\xff\x00a\x00,\x20\xac"), "a,€"),
		text("windows-1252", CSV, []byte("name,price\nM\xfcller,5 \x80\n"), "name,price\nMüller,5 €\n"),
		text("largest", TXT, []byte(strings.Repeat("a", 4_718_592)), strings.Repeat("a", 4_718_592)),
		refused("half a character", TXT, []byte("\xff\xfeG\x00r"), Broken, "is not a valid txt: it is damaged"),
		refused("binary", TXT, []byte("abc\x00\x01\x02"), Broken, "is not a valid txt: it holds bytes that are no text"),
		refused("picture", MD, []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"), Broken, "is not a valid md: it holds bytes that are no text"),
		refused("pdf", CSV, simplePDF("x").bytes(), WrongFormat, "is not a valid csv: it is a pdf"),
		refused("zip", TXT, docxOf(""), WrongFormat, "is not a valid txt: it is a zip archive"),
		refused("too large", TXT, make([]byte, 4_718_593), TooLarge, "has 4718593 bytes; at most 4718592 are allowed"),
		refused("unknown", "odt", []byte("x"), WrongFormat, "has an unknown format"),
		refused("old word", DOC, oleFile(""), Unsupported, "has the format doc, which cannot be read; save it as docx"),
		refused("old excel", XLS, oleFile(""), Unsupported, "has the format xls, which cannot be read; save it as xlsx"),
		refused("text", DOC, []byte("hello"), WrongFormat, "is not a valid doc"),
	}
}

// oleFile begins like an old Office file and holds a stream of that name.
func oleFile(name string) []byte {
	return []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + strings.Repeat("\x00", 512) + name)
}

func htmlSamples() []sample {
	rich := `<!DOCTYPE html><html><head><meta charset="utf-8"><title>A &amp; B</title><style>p{}</style></head><body>
<h1>Head   line</h1><p>One <b>bold</b>word,<br>next &euro; &#x1F600;</p><div>block<span> in</span>line</div>
<ul><li>first<ol><li>x</li><li>y</ol><li>second</ul><pre>  keep
    this</pre><script>var x = "<p>no</p>";</script><noscript>no</noscript>
<table><caption>T</caption><tr><th>a</th><th></th><th>c</th></tr><tr><td>1<br>2<td><p>p</p><td>3</table>tail</body></html>`
	want := "A & B\n\n# Head line\n\nOne boldword,\nnext € 😀\n\nblock inline\n\n- first\n  1. x\n  2. y\n\n- second\n\n  keep\n    this\n\nT\na\t\tc\n1 2\tp\t3\n\ntail\n"
	return []sample{
		text("rich", HTML, []byte(rich), want),
		text("latin 1", HTML, []byte(`<meta charset="iso-8859-15"><p>5 `+"\xa4"), "5 €\n"),
		text("shift jis", HTML, []byte(`<meta http-equiv="Content-Type" content="text/html; charset=Shift_JIS"><p>`+"\x93\xfa\x96\x7b"), "日本\n"),
		text("utf-16", HTML, []byte("\xff\xfe<\x00p\x00>\x00\xe4\x00"), "ä\n"),
		text("no tags", HTML, []byte("just text"), "just text\n"),
		text("broken", HTML, []byte("<p>a<b <i>c</td></table></tr><<<>>&&;</pre>\n<td>d<!-- e"), "ac\n\n<<<>>&&;\n\nd\n"),
		text("deep", HTML, []byte(strings.Repeat("<div><table><tr><td>", 100_000)+"x"), "x\n"),
		text("many attributes", HTML, []byte("<p "+strings.Repeat("a=b ", 1_000_000)+">x"), "x\n"),
		refused("binary", HTML, []byte("<p>\x00\x00"), Broken, "is not a valid html: it holds bytes that are no text"),
		refused("pdf", HTML, simplePDF("x").bytes(), WrongFormat, "is not a valid html: it is a pdf"),
	}
}

func docxSamples() []sample {
	cell := func(s string) string { return "<w:tc>" + s + "</w:tc>" }
	body := para(`<w:pStyle w:val="Title"/>`, "Report") + para("", "Hello &amp; <![CDATA[wel]]>come") +
		`<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:noBreakHyphen/><w:t>d</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:r><w:footnoteReference w:id="2"/></w:r></w:p>` +
		para(`<w:pStyle w:val="berschrift2"/>`, "Lists") + item(2, 0, "one") + item(2, 1, "three") + item(2, 1, "four") + item(2, 0, "two") + item(2, 1, "again") +
		para(`<w:pStyle w:val="Bullets"/>`, "dot") +
		`<w:tbl><w:tr>` + cell(para("", "A")+para("", "1")) + cell("") + cell(para("", "C")) + `</w:tr><w:tr>` +
		cell(`<w:tbl><w:tr>`+cell(para("", "in"))+cell(para("", "ner"))+`</w:tr></w:tbl>`) + cell(para("", "D")) + `</w:tr></w:tbl>` +
		`<w:p><w:r><mc:AlternateContent><mc:Choice><w:txbxContent>` + para("", "box") + `</w:txbxContent></mc:Choice><mc:Fallback><w:t>twice</w:t></mc:Fallback></mc:AlternateContent></w:r></w:p>`
	want := "# Report\n\nHello & welcome\n\na\tb\nc-d[2]\n\n## Lists\n\n1. one\n  3. three\n  4. four\n2. two\n  3. again\n- dot\n\nA 1\t\tC\nin ner\tD\n\n\nbox\n\n[2] The note.\n"
	plain := docxOf(para("", "x"))
	noMain := docxParts("")
	delete(noMain, "word/document.xml")
	laughs := docxParts("")
	laughs["word/document.xml"] = `<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><w:document ` + wordSpace + `><w:body><w:p><w:r><w:t>&b;</w:t></w:r></w:p></w:body></w:document>`
	outside := docxParts("")
	outside["word/document.xml"] = `<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]><d>&a;</d>`
	many := map[string]string{}
	for i := range 20_000 {
		many[fmt.Sprintf("word/%d.xml", i)] = ""
	}
	bare := docxParts(para("", "no relations"))
	for _, part := range []string{"_rels/.rels", "word/_rels/document.xml.rels", "word/styles.xml", "word/numbering.xml", "word/footnotes.xml"} {
		delete(bare, part)
	}
	return []sample{
		text("rich", DOCX, docxOf(body), want),
		text("without relations", DOCX, zipOf(bare), "no relations\n\n"),
		refused("cut off", DOCX, plain[:len(plain)/2], Broken, "is not a valid docx: it is damaged"),
		refused("flipped byte", DOCX, flipped(plain, "word/document.xml", 40), Broken, "is not a valid docx: it is damaged"),
		refused("broken xml", DOCX, docxOf(`<w:p><w:r></w:p>`), Broken, "is not a valid docx: it is damaged"),
		refused("empty zip", DOCX, zipOf(nil), WrongFormat, "is not a valid docx: it is a zip archive of something else"),
		refused("no document", DOCX, zipOf(noMain), WrongFormat, "is not a valid docx: it is a zip archive of something else"),
		refused("xlsx", DOCX, xlsxOf("", ""), WrongFormat, "is not a valid docx: it is a xlsx"),
		refused("pdf", DOCX, simplePDF("x").bytes(), WrongFormat, "is not a valid docx: it is a pdf"),
		refused("text", DOCX, []byte("hello"), WrongFormat, "is not a valid docx"),
		refused("old word", DOCX, oleFile(""), WrongFormat, "is not a valid docx: it is an old Office file"),
		refused("password", DOCX, oleFile(encryptedPackage), Encrypted, "is protected with a password"),
		refused("billion laughs", DOCX, zipOf(laughs), Broken, "is not a valid docx: it declares a document type"),
		refused("file of the machine", DOCX, zipOf(outside), Broken, "is not a valid docx: it declares a document type"),
		refused("deep", DOCX, docxOf(strings.Repeat("<w:p>", 200_000)), Broken, "is not a valid docx: it is nested too deeply"),
		refused("many parts", DOCX, zipOf(many), TooLarge, "has more than 10000 parts"),
	}
}

// flipped changes one byte behind the name of a member.
func flipped(data []byte, after string, at int) []byte {
	out := append([]byte(nil), data...)
	out[strings.Index(string(out), after)+len(after)+at] ^= 0x55
	return out
}

func xlsxSamples() []sample {
	first := `<row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1" t="s"><v>1</v></c><c r="D1" t="s"><v>2</v></c></row>` +
		`<row r="5"><c s="1"><v>45000</v></c><c s="2"><v>45000.5</v></c><c s="3"><v>0.1234</v></c><c s="4"><v>0.75</v></c><c s="5"><v>1.5</v></c></row>` +
		`<row><c r="B6" t="b"><v>1</v></c><c><v>0.30000000000000004</v></c><c t="inlineStr"><is><t>in</t><r><t>line</t></r></is></c><c t="str"><f>A1&amp;"x"</f><v>Namex</v></c><c t="e"><v>#DIV/0!</v></c></row>` +
		`<row><c r="A7"/></row><row><c t="s"><v>99</v></c><c><v>1E+20</v></c><c s="1"><v>1</v></c><c s="1"><v>-5</v></c><c><v>oops</v></c></row>`
	want := "# Sales & more\nName\t\tRich\ttwo lines\n2023-03-15\t2023-03-15 12:00:00\t12.34%\t18:00:00\t1.5\n\tTRUE\t0.3\tinline\tNamex\t#DIV/0!\n\t1E+20\t1900-01-01\t-5\toops\n\n# Empty\n\n"
	mac := xlsxParts(`<row><c s="1"><v>0</v></c></row>`, "")
	mac["xl/workbook.xml"] = strings.Replace(mac["xl/workbook.xml"], "<sheets>", `<workbookPr date1904="1"/><sheets>`, 1)
	amplified := xlsxParts(strings.Repeat(`<row><c t="s"><v>0</v></c></row>`, 100_000), "")
	amplified["xl/sharedStrings.xml"] = `<sst><si><t>` + strings.Repeat("long", 10_000) + `</t></si></sst>`
	return []sample{
		text("rich", XLSX, xlsxOf(first, ""), want),
		text("days from 1904", XLSX, zipOf(mac), "# Sales & more\n1904-01-01\n\n# Empty\n\n"),
		text("100,000 rows", XLSX, xlsxOf(strings.Repeat(`<row><c><v>1</v></c><c><v>2</v></c></row>`, 100_000), ""),
			"# Sales & more\n"+strings.Repeat("1\t2\n", 100_000)+"\n# Empty\n\n"),
		refused("docx", XLSX, docxOf(""), WrongFormat, "is not a valid xlsx: it is a docx"),
		refused("csv", XLSX, []byte("a,b\n1,2\n"), WrongFormat, "is not a valid xlsx"),
		refused("broken sheet", XLSX, xlsxOf("<row><c></row>", ""), Broken, "is not a valid xlsx: it is damaged"),
		refused("password", XLSX, oleFile(encryptedPackage), Encrypted, "is protected with a password"),
		refused("far columns", XLSX, xlsxOf(strings.Repeat(`<row><c r="XFD1"><v>1</v></c></row>`, 10_000), ""), TooLong, "has more than 16777216 bytes of text"),
		refused("one text 100,000 times", XLSX, zipOf(amplified), TooLong, "has more than 16777216 bytes of text"),
	}
}
