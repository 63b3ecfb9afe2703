package direct

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/sse"
)

// openAI lists the operations at /openai/v1.
func (s *Service) openAI() []service.Direct {
	p := protocol{provider: "openai.", read: s.cfg.OpenAI, event: unnamed, end: []byte("data: [DONE]\n\n")}
	chat := service.Direct{
		Method: http.MethodPost, Path: "/openai/v1/chat/completions", Operation: "ChatCompletions",
		Open: s.open(p), Error: openAIError, ErrorEvent: func(e *apierr.Error) []byte { return sse.Append(nil, "", openAIError(e)) },
	}
	models := chat
	models.Method, models.Path, models.Operation = http.MethodGet, "/openai/v1/models", "ListModels"
	models.Open = func(_ context.Context, c *call.Call, _ []byte) (service.DirectCall, error) {
		return service.DirectCall{Action: actionList, Serve: func(context.Context) (service.DirectReply, error) { return s.models(c) }}, nil
	}
	return []service.Direct{chat, models}
}

// openAIModel is an entry of the list of models.
type openAIModel struct {
	ID      string `json:"id"`
	Object  string `json:"object"` // "model"
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

// models lists the models that hold conversations.
func (s *Service) models(c *call.Call) (service.DirectReply, error) {
	list := []openAIModel{}
	for _, m := range s.cfg.Catalog.List(catalog.Filter{Region: c.Region, Output: "TEXT"}) {
		if m.Rank { // its text is a ranking
			continue
		}
		e := openAIModel{ID: m.ID, Object: "model", OwnedBy: strings.ToLower(m.Provider)}
		if t := m.Lifecycle.StartOfLife; !t.IsZero() {
			e.Created = t.Unix()
		}
		list = append(list, e)
	}
	body, err := json.Marshal(struct {
		Object string        `json:"object"`
		Data   []openAIModel `json:"data"`
	}{"list", list})
	return service.DirectReply{Body: body}, err
}

// openAIError is an error in OpenAI's form.
func openAIError(e *apierr.Error) []byte {
	kind := "server_error"
	switch status := e.HTTPStatus(); {
	case status == http.StatusTooManyRequests:
		kind = "rate_limit_error"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		kind = "authentication_error"
	case status == http.StatusNotFound:
		kind = "not_found_error"
	case status < http.StatusInternalServerError:
		kind = "invalid_request_error"
	}
	body, err := json.Marshal(map[string]any{"error": map[string]any{"message": e.Message, "type": kind, "param": nil, "code": e.Code}})
	if err != nil { // cannot be: they are texts
		return []byte(`{"error":{"message":"Internal error.","type":"server_error","param":null,"code":null}}`)
	}
	return body
}
