package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// tinyModel is a botocore model with prose in every place that has some.
const tinyModel = `{"version":"2.0","documentation":"<p>Words</p>",
	"metadata":{"apiVersion":"2026-01-01","endpointPrefix":"pits","serviceId":"Pits","protocol":"rest-json","signatureVersion":"v4","serviceFullName":"The Pits"},
	"operations":{"Dig":{"name":"Dig","http":{"method":"POST","requestUri":"/dig/{id}","responseCode":202},
		"input":{"shape":"DigRequest"},"errors":[{"shape":"Gone"},{"shape":"Full"}],"documentation":"<p>Words</p>","idempotent":true},
		"Ask":{"name":"Ask","http":{"method":"GET","requestUri":"/"}}},
	"shapes":{
		"Id":{"type":"string","max":9,"min":1,"pattern":"<[a-z]+>&"},
		"DigRequest":{"type":"structure","required":["id"],"members":{
			"zeta":{"shape":"Id","documentation":"<p>Words</p>"},
			"id":{"shape":"Id","location":"uri","locationName":"id"},
			"alpha":{"shape":"Id","idempotencyToken":true,"deprecated":true,"deprecatedMessage":"Words"}}},
		"Gone":{"type":"structure","members":{},"documentation":"<p>Words</p>","error":{"httpStatusCode":410,"senderFault":true},"exception":true},
		"Full":{"type":"structure","members":{},"error":{"httpStatusCode":507},"exception":true,"fault":true,"retryable":{"throttling":false}}}}`

const tinyPages = `{"pagination":{"Dig":{"input_token":"zeta","output_token":"more","result_key":"pits"}}}`

func TestStrip(t *testing.T) {
	t.Parallel()
	f, err := strip("pits", []byte(tinyModel), []byte(tinyPages))
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.encode()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"service":"pits","apiVersion":"2026-01-01","serviceId":"Pits","signingName":"pits","protocol":"rest-json","operations":[
{"name":"Ask","method":"GET","uri":"/","status":200},
{"name":"Dig","method":"POST","uri":"/dig/{id}","status":202,"input":"DigRequest","errors":["Full","Gone"],"pagination":{"inputToken":"zeta","outputToken":"more","resultKey":"pits"}}
],
"shapes":[
{"name":"DigRequest","type":"structure","members":[{"name":"zeta","shape":"Id"},{"name":"id","shape":"Id","location":"uri","locationName":"id","required":true},{"name":"alpha","shape":"Id","idempotencyToken":true}]},
{"name":"Full","type":"structure","error":{"status":507,"retryable":true}},
{"name":"Gone","type":"structure","error":{"status":410,"sender":true}},
{"name":"Id","type":"string","min":1,"max":9,"pattern":"<[a-z]+>&"}
]}
`
	if string(got) != want {
		t.Fatalf("facts are\n%s\nwant\n%s", got, want)
	}
}

// Models of the JSON and query protocols leave out what the protocol sets.
func TestStripExceptionsWithoutStatus(t *testing.T) {
	t.Parallel()
	model := strings.ReplaceAll(tinyModel, `"error":{"httpStatusCode":507},`, ``)
	model = strings.ReplaceAll(model, `"error":{"httpStatusCode":410,"senderFault":true},`, ``)
	model = strings.Replace(model, `"protocol":"rest-json"`, `"protocol":"json","jsonVersion":"1.1"`, 1)
	pages := strings.Replace(tinyPages, `"result_key":"pits"`, `"more_results":"some","result_key":["pits","holes"],"non_aggregate_keys":["x"]`, 1)
	f, err := strip("pits", []byte(model), []byte(pages))
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"name":"Full","type":"structure","error":{"status":500,"retryable":true}}`,
		`{"name":"Gone","type":"structure","error":{"status":400,"sender":true}}`,
		`"jsonVersion":"1.1"`, `"moreResults":"some","resultKey":"pits,holes"`,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("the facts lack %s:\n%s", want, got)
		}
	}
}

func TestStripRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ old, repl, want string }{
		"unknown_shape_key":       {`"max":9`, `"maximum":9`, "unknown field"},
		"unknown_member_key":      {`"idempotencyToken"`, `"idempotenceToken"`, "unknown field"},
		"unknown_operation_key":   {`"idempotent"`, `"endpoint"`, "unknown field"},
		"unknown_signature":       {`"v4"`, `"v2"`, "signature version"},
		"unknown_required":        {`["id"]`, `["no"]`, "unknown member"},
		"error_without_exception": {`"exception":true,"fault":true`, `"fault":true`, "no exception"},
		"result_wrapper":          {`"input":{"shape":"DigRequest"}`, `"output":{"shape":"Id","resultWrapper":"X"}`, "result wrapper"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(tinyModel, c.old) {
				t.Fatalf("the tiny model lacks %s", c.old)
			}
			_, err := strip("pits", []byte(strings.Replace(tinyModel, c.old, c.repl, 1)), []byte(tinyPages))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error is %v, want %q in it", err, c.want)
			}
		})
	}
}

// tinyWheel is a wheel that holds the tiny model as every service, half of
// them gzipped, with an older API version beside.
func tinyWheel(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	zw := zip.NewWriter(&b)
	add := func(name string, data []byte) {
		w, err := zw.Create("botocore/data/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	var packed bytes.Buffer
	gz := gzip.NewWriter(&packed)
	if _, err := io.WriteString(gz, tinyModel); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	for i, svc := range botocoreServices() {
		add(svc.name+"/2020-01-01/service-2.json", []byte("old"))
		add(svc.name+"/2026-01-01/paginators-1.json", []byte(tinyPages))
		if i%2 == 0 {
			add(svc.name+"/2026-01-01/service-2.json.gz", packed.Bytes())
		} else {
			add(svc.name+"/2026-01-01/service-2.json", []byte(tinyModel))
		}
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestModelFiles(t *testing.T) {
	t.Parallel()
	wheel := tinyWheel(t)
	sum := sha256.Sum256(wheel)
	files, err := modelFiles(pin{"9.9.9", hex.EncodeToString(sum[:])}, wheel)
	if err != nil {
		t.Fatal(err)
	}
	if want := "botocore 9.9.9 sha256:" + hex.EncodeToString(sum[:]) + "\n"; string(files[pinFile]) != want {
		t.Errorf("pin is %q", files[pinFile])
	}
	if len(files) != len(botocoreServices())+2 {
		t.Errorf("%d files", len(files))
	}
	for _, svc := range botocoreServices() {
		if f, err := decodeFacts(files["api/models/"+svc.name+".json"]); err != nil || f.APIVersion != "2026-01-01" {
			t.Errorf("%s: %+v, %v", svc.name, f, err)
		}
	}
}

func TestModelFilesRefusesAnotherWheel(t *testing.T) {
	t.Parallel()
	_, err := modelFiles(pin{"9.9.9", strings.Repeat("0", 64)}, tinyWheel(t))
	if err == nil || !strings.Contains(err.Error(), "sha256") {
		t.Fatalf("error is %v", err)
	}
}

func TestReadReport(t *testing.T) {
	t.Parallel()
	url, sum, err := readReport([]byte(`{"install":[{"download_info":{"url":"https://host.example/x.whl","archive_info":{"hashes":{"sha256":"ab"}}}}]}`))
	if err != nil || url != "https://host.example/x.whl" || sum != "ab" {
		t.Errorf("got %q %q %v", url, sum, err)
	}
	for _, bad := range []string{`{}`, `x`, `{"install":[{"download_info":{"url":"https://host.example/x.whl"}}]}`} {
		if _, _, err := readReport([]byte(bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

func TestDownload(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/x.whl" {
			http.NotFound(w, r)
			return
		}
		if _, err := io.WriteString(w, "bytes"); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(srv.Close)
	if got, err := get(t.Context(), srv.URL+"/x.whl"); err != nil || string(got) != "bytes" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := get(t.Context(), srv.URL+"/gone"); err == nil {
		t.Error("a 404 is no error")
	}
}
