package gateway

import (
	"net/http"
	"strconv"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/awsjson"
	"github.com/outcrop/outcrop/internal/wire/restjson"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

const protocolJSON = "json"

// isJSON tells a request of a JSON service from the others: it goes to the root
// and has a target. A form is told before, by isQuery.
func isJSON(r *http.Request) bool {
	if r.Method != http.MethodPost || len(r.Header[awsjson.HeaderTarget]) == 0 {
		return false
	}
	path, _ := sigv4.Target(r)
	return path == "/"
}

// jsonRoutes finds the operations of JSON services by X-Amz-Target.
type jsonRoutes map[string]jsonService

type jsonService struct {
	svc *awsapi.Service
	ops map[string]*awsapi.Operation
}

func newJSONRoutes(services []*awsapi.Service) jsonRoutes {
	r := make(jsonRoutes, len(services))
	for _, s := range services {
		r[s.TargetPrefix] = jsonService{s, operationsByName(s)}
	}
	return r
}

func operationsByName(s *awsapi.Service) map[string]*awsapi.Operation {
	ops := make(map[string]*awsapi.Operation, len(s.Operations))
	for i := range s.Operations {
		ops[s.Operations[i].Name] = &s.Operations[i]
	}
	return ops
}

// route finds the operation. A target with a known prefix names the service at
// least, so that errors have its form.
func (r jsonRoutes) route(q *request) error {
	unknown := apierr.New(apierr.CodeUnknownOperation, http.StatusNotFound, "The header X-Amz-Target names no operation that is known here.")
	lines := q.r.Header[awsjson.HeaderTarget]
	if len(lines) > 1 {
		return apierr.Validation("The header X-Amz-Target must not stand twice.")
	}
	prefix, name, ok := awsjson.Target(lines[0])
	if !ok {
		return unknown
	}
	s, ok := r[prefix]
	if !ok {
		return unknown
	}
	q.svc, q.Service = s.svc, s.svc.Name
	op, ok := s.ops[name]
	if !ok {
		return unknown
	}
	q.op, q.Operation, q.Action = op, op.Name, op.Action
	return nil
}

// jsonCodec speaks JSON 1.0 and 1.1.
type jsonCodec struct{ rest *restjson.Codec }

func (c jsonCodec) decode(q *request, in any) error {
	return awsjson.New(c.rest).Decode(q.svc, q.op, q.body, in)
}

func (c jsonCodec) validate(q *request, in any) error { return c.rest.Validate(q.svc, q.op, in) }

// token finds none: no operation of these protocols has an idempotency token.
// A test holds the tables to that.
func (jsonCodec) token(*request, any) (string, [32]byte, bool, error) {
	return "", [32]byte{}, false, nil
}

func (c jsonCodec) encode(q *request, out any) (restjson.Response, error) {
	body, err := awsjson.New(c.rest).AppendOutput(nil, q.svc, q.op, out)
	return restjson.Response{Status: http.StatusOK, ContentType: awsjson.ContentType(q.svc), Body: body}, err
}

func (jsonCodec) writeError(q *request, e *apierr.Error) {
	body := awsjson.AppendError(nil, q.svc, e)
	h := q.w.Header()
	h.Set(restjson.HeaderErrorType, e.Code)
	h.Set("Content-Type", awsjson.ContentType(q.svc))
	h.Set("Content-Length", strconv.Itoa(len(body)))
	q.status(awsjson.Status(q.svc, e))
	_, _ = q.w.Write(body) // the client may be gone
}
