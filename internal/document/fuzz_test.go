package document

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func mustJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// fuzz reads whatever comes, in this process: within its limits it gives text or
// a refusal, without a panic and without taking long.
func fuzz(f *testing.F, format Format, samples []sample) {
	for _, s := range samples {
		if s.format == format && len(s.data) < 20_000 {
			f.Add(s.data)
		}
	}
	limits := New(Limits{Bytes: 1 << 16, Pages: 20, Text: 1 << 20, Unpacked: 4 << 20}).limits
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > limits.Bytes || check(format, data) != nil {
			return
		}
		begin := time.Now()
		text, err := extract(format, data, limits)
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Kind < Broken || e.Kind > Unsupported || strings.TrimSpace(e.Message) == "" || text != "" {
				t.Fatalf("error %v", err)
			}
			return
		}
		if !utf8.ValidString(text) || len(text) > limits.Text {
			t.Fatalf("%d bytes of text: %q", len(text), short(text))
		}
	})
}

func FuzzText(f *testing.F) { fuzz(f, TXT, plainSamples()) }

func FuzzCSV(f *testing.F) { fuzz(f, CSV, plainSamples()) }

func FuzzHTML(f *testing.F) { fuzz(f, HTML, htmlSamples()) }

func FuzzDOCX(f *testing.F) { fuzz(f, DOCX, docxSamples()) }

func FuzzXLSX(f *testing.F) { fuzz(f, XLSX, xlsxSamples()) }

func FuzzPDF(f *testing.F) { fuzz(f, PDF, pdfSamples()) }

// FuzzDOCXPart puts what comes into the main part, where a whole file would
// rarely get past its checksums.
func FuzzDOCXPart(f *testing.F) {
	f.Add(para("", "x") + item(2, 1, "y") + "<w:tbl><w:tr><w:tc>")
	limits := New(Limits{Text: 1 << 20, Unpacked: 4 << 20}).limits
	f.Fuzz(func(t *testing.T, body string) {
		if text, err := extract(DOCX, docxOf(body), limits); err == nil && !utf8.ValidString(text) {
			t.Fatalf("text %q", short(text))
		}
	})
}

// FuzzXLSXPart does the same with a sheet.
func FuzzXLSXPart(f *testing.F) {
	f.Add(`<row><c r="ZZ1" t="s" s="2"><v>1</v></c><c><v>1e300</v></c></row>`, `yy;"m"[h]`)
	limits := New(Limits{Text: 1 << 20, Unpacked: 4 << 20}).limits
	f.Fuzz(func(t *testing.T, rows, format string) {
		if text, err := extract(XLSX, xlsxOf(rows, ""), limits); err == nil && !utf8.ValidString(text) {
			t.Fatalf("text %q", short(text))
		}
		_ = formatOf(format).show(float64(len(rows))/7, len(format)%2 == 0)
	})
}

// FuzzPDFPage puts what comes into a page and into a font's character map.
func FuzzPDFPage(f *testing.F) {
	f.Add("BT /F1 12 Tf 1 0 0 1 7 7 Tm [(a) 3 <41>] TJ T* (b) ' 1 2 (c) \" ET q 1 0 0 1 0 0 cm Q /X Do BI /W 1 ID x EI", "1 beginbfrange <00> <ff> <0041> endbfrange")
	limits := New(Limits{Text: 1 << 20, Unpacked: 4 << 20}).limits
	f.Fuzz(func(t *testing.T, program, characters string) {
		p := pdfOf([]string{"<< /Type /Font /Subtype /Type1 /ToUnicode 6 0 R >>"}, program)
		p.add(stream("", []byte(characters)))
		if text, err := extract(PDF, p.bytes(), limits); err == nil && !utf8.ValidString(text) {
			t.Fatalf("text %q", short(text))
		}
	})
}
