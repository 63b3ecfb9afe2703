package apptest

import (
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
)

// newClient makes the HTTP client of the SDK clients.
func newClient() *http.Client {
	return &http.Client{
		Transport:     unhurried{http.DefaultTransport.(*http.Transport).Clone()},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// RuntimeOver is Runtime over HTTP/1.1 (1) or HTTP/2 with prior knowledge (2).
func (s *Server) RuntimeOver(major int) *bedrockruntime.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(major == 1)
	protocols.SetUnencryptedHTTP2(major == 2)
	cfg := s.AWS(s.Key)
	var transport http.RoundTripper = &http.Transport{Protocols: protocols}
	if major == 1 {
		transport = unhurried{transport.(*http.Transport)}
	}
	cfg.HTTPClient = &http.Client{Transport: transport}
	return bedrockruntime.NewFromConfig(cfg)
}

// unhurried returns an answer only when its request has been written to the end.
//
// The SDK closes the body of a request when the head of the answer is there. A
// connection that has not yet seen the end of that body takes this for an error
// and closes itself, and the answer breaks off with "use of closed network
// connection". Only a server on the same machine can be that fast, on a busy one
// about once in a hundred streams. The trouble is the client's own.
type unhurried struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (u unhurried) RoundTrip(r *http.Request) (*http.Response, error) {
	wrote := make(chan struct{})
	once := sync.OnceFunc(func() { close(wrote) })
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { once() },
	})
	resp, err := u.Transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	select {
	case <-wrote:
	case <-time.After(time.Second): // an answer to a request that was not read
	}
	return resp, nil
}
