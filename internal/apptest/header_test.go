package apptest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrock"

	"github.com/outcrop/outcrop/internal/apptest"
)

// TestHeaderLimit sends headers of a mebibyte. They are refused, and others are
// served.
func TestHeaderLimit(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.Endpoint+"/foundation-models", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Long", strings.Repeat("x", 1<<20))
	resp, err := http.DefaultClient.Do(r)
	if err == nil { // the server may also close before the whole header is sent
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a mebibyte of headers: %s", resp.Status)
		}
	} else if !strings.Contains(err.Error(), "broken pipe") && !strings.Contains(err.Error(), "connection reset") {
		t.Errorf("a mebibyte of headers: %v", err)
	}
	if _, err := srv.Bedrock().ListFoundationModels(t.Context(), &bedrock.ListFoundationModelsInput{}); err != nil {
		t.Errorf("the next call: %v", err)
	}
}
