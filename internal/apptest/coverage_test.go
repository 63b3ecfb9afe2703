package apptest_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/awsapi/coverage"
)

// TestCoverage asks a running server for every operation of every API and holds
// docs/coverage.md against what it answers: an operation without a handler gives
// 501 in the form of an AWS error that names it, and is missing in the document.
// Package app's test of this name writes the document, with -update.
func TestCoverage(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t)
	bound := map[string]bool{}
	for _, s := range app.Services() {
		for i := range s.Operations {
			bound[s.Name+"."+s.Operations[i].Name] = isBound(t, srv, s, &s.Operations[i])
		}
	}
	want := coverage.Render(app.Services(), func(service, operation string) bool { return bound[service+"."+operation] })
	if got, err := os.ReadFile(filepath.Join("..", "..", "docs", "coverage.md")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/coverage.md is not what the server answers (%v): run go test ./internal/app -run TestCoverage -update", err)
	}
}

var label = regexp.MustCompile(`\{\w+\+?\}`)

// bare is a request of an operation with "x" for every label, or where services
// share a path an ARN of its own, and no input. It is not signed yet.
func bare(t *testing.T, srv *apptest.Server, s *awsapi.Service, op *awsapi.Operation) (*http.Request, string) {
	t.Helper()
	body, kind, value := "{}", "application/json", "x"
	switch {
	case s.Protocol == "query":
		body, kind = "Action="+op.Name+"&Version="+s.APIVersion, "application/x-www-form-urlencoded"
	case s.Protocol == "json":
		kind = "application/x-amz-json-" + s.JSONVersion
	case s.Name == "accessanalyzer":
		value = "arn:aws:access-analyzer:us-east-1:" + keys.DefaultAccount + ":analyzer%2Fx"
	}
	if op.Method == http.MethodGet {
		body = ""
	}
	return aimed(t, srv, s, op, kind, value, body), body
}

// aimed is a request of an operation with a value, escaped, for every label.
func aimed(t *testing.T, srv *apptest.Server, s *awsapi.Service, op *awsapi.Operation, kind, value, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), op.Method, srv.Endpoint+label.ReplaceAllLiteralString(op.URI, value), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	if s.Protocol == "json" {
		r.Header.Set("X-Amz-Target", s.TargetPrefix+"."+op.Name)
	}
	return r
}

// isBound calls an operation without input. A handler refuses that, or lists
// something.
func isBound(t *testing.T, srv *apptest.Server, s *awsapi.Service, op *awsapi.Operation) bool {
	t.Helper()
	r, body := bare(t, srv, s, op)
	cfg := srv.AWS(srv.Key)
	who, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(body))
	payload := hex.EncodeToString(sum[:])
	if op.Name == "InvokeModelWithBidirectionalStream" { // its body is a stream of signed events
		payload = "STREAMING-AWS4-HMAC-SHA256-EVENTS"
		r.Header.Set("X-Amz-Content-Sha256", payload)
	}
	if err := v4.NewSigner().SignHTTP(t.Context(), who, r, payload, s.SigningName, cfg.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", s.Name, op.Name, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", s.Name, op.Name, err)
	}
	if code := resp.StatusCode; code != http.StatusNotImplemented {
		if code == http.StatusForbidden || resp.Header.Get("x-amzn-ErrorType") == "UnknownOperationException" || code >= 500 {
			t.Errorf("%s %s: %s %s", s.Name, op.Name, resp.Status, answer)
		}
		return true
	}
	if !bytes.Contains(answer, []byte(op.Name)) || resp.Header.Get("x-amzn-RequestId") == "" {
		t.Errorf("%s %s: %s %v does not name the operation", s.Name, op.Name, answer, resp.Header)
	}
	if s.Protocol == "query" {
		if !bytes.Contains(answer, []byte("<Code>")) {
			t.Errorf("%s %s: %s is no error of the query protocol", s.Name, op.Name, answer)
		}
		return false
	}
	var said struct{ Message string }
	if err := json.Unmarshal(answer, &said); err != nil || said.Message == "" || resp.Header.Get("x-amzn-ErrorType") != "NotImplementedException" {
		t.Errorf("%s %s: %v %s is no error of AWS", s.Name, op.Name, resp.Header, answer)
	}
	return false
}
