package gateway

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/awsquery"
	"github.com/outcrop/outcrop/internal/wire/restjson"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

const protocolQuery = "query"

// isQuery tells a request of a query service from a REST one: it goes to the
// root, with a form as body or, presigned, with the action in its query.
func isQuery(r *http.Request) bool {
	path, query := sigv4.Target(r)
	if path != "/" {
		return false
	}
	if r.Method == http.MethodPost {
		base, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		return strings.EqualFold(strings.TrimSpace(base), "application/x-www-form-urlencoded") || strings.Contains(query, "Action=")
	}
	return r.Method == http.MethodGet && strings.Contains(query, "Action=")
}

// queryRoutes finds the operations of query services, whose names stand in the
// body, by the service that the credential scope names.
type queryRoutes map[string]queryService

type queryService struct {
	svc *awsapi.Service
	ops map[string]*awsapi.Operation
}

func newQueryRoutes(services []*awsapi.Service) queryRoutes {
	r := make(queryRoutes, len(services))
	for _, s := range services {
		r[s.SigningName] = queryService{s, operationsByName(s)}
	}
	return r
}

// route finds the operation of a request whose credential scope names the
// service.
func (r queryRoutes) route(q *request) error {
	s, ok := r[q.scope]
	if !ok {
		return apierr.New(apierr.CodeUnknownOperation, http.StatusNotFound, "No query service is called %s.", q.scope)
	}
	q.svc, q.Service = s.svc, s.svc.Name
	_, query := sigv4.Target(q.r)
	p, err := awsquery.Parse(query, q.body)
	if err != nil {
		return err
	}
	if v := p.Version(); v != "" && v != s.svc.APIVersion {
		return apierr.New("NoSuchVersion", http.StatusBadRequest, "The requested version (%s) of service %s does not exist.", v, s.svc.ID)
	}
	op, ok := s.ops[p.Action()]
	if !ok {
		return apierr.New("InvalidAction", http.StatusBadRequest, "Could not find operation %q for version %s.", p.Action(), s.svc.APIVersion)
	}
	q.params, q.op = p, op
	q.Operation, q.Action = op.Name, op.Action
	return nil
}

// maxUnsigned bounds the body of a query request without credentials, in bytes:
// a stranger is heard only for an identity token, of at most 20,000 characters,
// with some parameters and session policies beside it.
const maxUnsigned = 64 << 10

// unsigned finds an operation that needs no signature because its body proves
// who calls, such as AssumeRoleWithWebIdentity. Nothing but the form tells the
// service of such a request: the version must be that of the service's API.
func (r queryRoutes) unsigned(action, version string) (*awsapi.Service, *awsapi.Operation, bool) {
	for _, s := range r {
		if s.svc.APIVersion != version {
			continue
		}
		if op, ok := s.ops[action]; ok && op.NoAuth {
			return s.svc, op, true
		}
	}
	return nil, nil, false
}

// routeUnsigned is route for a request without credentials, whose body has been
// read under maxUnsigned. Everything but the operations of unsigned is
// MissingAuthenticationToken, whatever else is wrong with it.
func (r queryRoutes) routeUnsigned(q *request) error {
	_, query := sigv4.Target(q.r)
	p, err := awsquery.Parse(query, q.body)
	if err != nil {
		return sigv4.MissingToken()
	}
	svc, op, ok := r.unsigned(p.Action(), p.Version())
	if !ok {
		return sigv4.MissingToken()
	}
	q.params, q.svc, q.op = p, svc, op
	q.Service, q.Operation, q.Action = svc.Name, op.Name, op.Action
	return nil
}

// queryCodec speaks the query protocol. Constraints do not depend on the
// protocol, so the REST codec checks them.
type queryCodec struct {
	rest *restjson.Codec
	// unnamed lends its XML to errors that come before the service is known.
	unnamed *awsapi.Service
}

func (queryCodec) decode(q *request, in any) error {
	return awsquery.Decode(q.svc, q.op, q.params, in)
}

func (c queryCodec) validate(q *request, in any) error { return c.rest.Validate(q.svc, q.op, in) }

func (queryCodec) token(*request, any) (string, [32]byte, bool, error) {
	return "", [32]byte{}, false, nil
}

func (queryCodec) encode(q *request, out any) (restjson.Response, error) {
	body, err := awsquery.AppendOutput(nil, q.svc, q.op, out, q.ID)
	return restjson.Response{Status: http.StatusOK, ContentType: awsquery.ContentType, Body: body}, err
}

func (c queryCodec) writeError(q *request, e *apierr.Error) {
	svc := q.svc
	if svc == nil {
		svc = c.unnamed
	}
	body, status := awsquery.AppendError(nil, svc, e, q.ID)
	h := q.w.Header()
	h.Set("Content-Type", awsquery.ContentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	q.status(status)
	_, _ = q.w.Write(body) // the client may be gone
}
