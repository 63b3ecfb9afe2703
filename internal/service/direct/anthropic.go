package direct

import (
	"encoding/json"
	"net/http"

	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/sse"
)

// anthropic lists the operations at /anthropic/v1.
func (s *Service) anthropic() []service.Direct {
	p := protocol{provider: "anthropic.", read: s.cfg.Anthropic, event: named(s.cfg.EventName)}
	return []service.Direct{{
		Method: http.MethodPost, Path: "/anthropic/v1/messages", Operation: "Messages", KeyHeader: "X-Api-Key",
		Open: s.open(p), Error: anthropicError,
		ErrorEvent: func(e *apierr.Error) []byte { return sse.Append(nil, "error", anthropicError(e)) },
	}}
}

// anthropicError is an error in Anthropic's form.
func anthropicError(e *apierr.Error) []byte {
	kind := "api_error"
	switch status := e.HTTPStatus(); {
	case status == http.StatusTooManyRequests:
		kind = "rate_limit_error"
	case status == http.StatusUnauthorized:
		kind = "authentication_error"
	case status == http.StatusForbidden:
		kind = "permission_error"
	case status == http.StatusNotFound:
		kind = "not_found_error"
	case status == http.StatusRequestEntityTooLarge:
		kind = "request_too_large"
	case status == http.StatusServiceUnavailable:
		kind = "overloaded_error"
	case status < http.StatusInternalServerError:
		kind = "invalid_request_error"
	}
	body, err := json.Marshal(map[string]any{"type": "error", "error": map[string]any{"type": kind, "message": e.Message}})
	if err != nil { // cannot be: they are texts
		return []byte(`{"type":"error","error":{"type":"api_error","message":"Internal error."}}`)
	}
	return body
}
