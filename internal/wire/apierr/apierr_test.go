package apierr_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// Every constructor of a modelled exception must give the status of the model.
func TestModelledStatus(t *testing.T) {
	t.Parallel()
	modelled := map[string]*awsapi.ErrorFacts{}
	for i := range bedrockruntime.Model.Shapes {
		if s := bedrockruntime.Model.Shape(awsapi.ShapeID(i)); s.Error != nil {
			modelled[s.Name] = s.Error
		}
	}
	for _, e := range []*apierr.Error{
		apierr.Validation("%s", "x"), apierr.AccessDenied("%s", "x"), apierr.NotFound("%s", "x"), apierr.Conflict("%s", "x"), apierr.QuotaExceeded("%s", "x"),
		apierr.Throttling("%s", "x"), apierr.ModelNotReady("%s", "x"), apierr.ModelTimeout("%s", "x"), apierr.ModelError("%s", "x"),
		apierr.ModelStreamError("%s", "x"), apierr.Unavailable("%s", "x"), apierr.From(errors.New("y")),
	} {
		m := modelled[e.Code]
		if m == nil {
			t.Errorf("bedrock-runtime models no %s", e.Code)
			continue
		}
		if e.HTTPStatus() != m.Status {
			t.Errorf("%s has status %d, the model says %d", e.Code, e.HTTPStatus(), m.Status)
		}
		if e.Code != apierr.CodeInternal && e.Message != "x" {
			t.Errorf("%s says %q", e.Code, e.Message)
		}
	}
}

// Only the text of an *Error reaches a client; anything else is hidden, and kept
// for the log.
func TestFrom(t *testing.T) {
	t.Parallel()
	if e := apierr.From(nil); e != nil {
		t.Errorf("From(nil) is %v", e)
	}
	inner := errors.New("open /secret/place: no such file")
	e := apierr.From(fmt.Errorf("read: %w", inner))
	if e.Code != apierr.CodeInternal || e.HTTPStatus() != http.StatusInternalServerError || strings.Contains(e.Error()+e.Message, "secret") {
		t.Errorf("an unknown error becomes %d %v", e.HTTPStatus(), e)
	}
	if !errors.Is(e, inner) {
		t.Error("the cause is lost to the log")
	}
	own := apierr.Validation("messages: at most %d", 3)
	if got := apierr.From(fmt.Errorf("decode: %w", own)); got != own {
		t.Errorf("a wrapped *Error becomes %v", got)
	}
	if zero := (&apierr.Error{}); zero.HTTPStatus() != http.StatusInternalServerError {
		t.Errorf("an error without a status has %d", zero.HTTPStatus())
	}
}

func TestWithCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("disk full at /secret")
	e := apierr.Unavailable("Try again.")
	with := e.WithCause(cause)
	if e.Unwrap() != nil || !errors.Is(with, cause) || with.Code != e.Code || with.Message != e.Message || with.Error() != "ServiceUnavailableException: Try again." {
		t.Errorf("%v with a cause is %v", e, with)
	}
}

func TestWithField(t *testing.T) {
	t.Parallel()
	e := apierr.Validation("m")
	a := e.WithField("Reason", "A")
	b := a.WithField("Type", "T").WithField("Reason", "B")
	if len(e.Fields) != 0 || len(a.Fields) != 1 || a.Fields["Reason"] != "A" || len(b.Fields) != 2 || b.Fields["Reason"] != "B" || b.Message != "m" {
		t.Errorf("%v %v %v", e.Fields, a.Fields, b.Fields)
	}
}
