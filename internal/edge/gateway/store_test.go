package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// A full disk and a busy database pass: SDKs try again after a 503, and whoever
// reads the message knows why. The cause is for the log.
func TestStoreUnavailable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		says string
	}{
		"full": {store.ErrFull, "disk is full"},
		"busy": {store.ErrBusy, "database is busy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			f.converse = func(context.Context, *call.Call, *rt.ConverseInput) (*rt.ConverseOutput, error) {
				return nil, fmt.Errorf("put profile p: %w", errors.Join(c.err, errors.New("secret place")))
			}
			s := f.listen(t)
			a := do(t, s.Client(), f.sign(t, http.MethodPost, s.URL+"/model/m/converse", []byte(converseBody)))
			if a.status != 503 || a.code != apierr.CodeServiceUnavailable || !strings.Contains(a.message, c.says) || strings.Contains(a.body, "secret") || a.header.Get("Retry-After") == "" {
				t.Errorf("%d %s: %s", a.status, a.code, a.body)
			}
			if rec := f.records.last(t); rec.Status != 503 || rec.ErrorCode != apierr.CodeServiceUnavailable {
				t.Errorf("record %+v", rec)
			}
			if !strings.Contains(f.log.String(), "secret place") {
				t.Error("the log does not tell the cause")
			}
		})
	}
}
