// Package admin answers the questions of load balancers and supervisors. Its
// pages need no credentials and tell nothing but yes or no.
package admin

import (
	"net/http"
	"time"
)

// linger is how long net/http may wait for a body that nobody reads.
const linger = time.Second

// Handler serves GET and HEAD of /healthz and /readyz and hands every other
// request to next.
//
// /healthz is 200 while the process serves. /readyz is 200 when ready says so,
// else 503.
func Handler(ready func() bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ok := true
		switch r.URL.Path {
		case "/healthz":
		case "/readyz":
			ok = ready()
		default:
			next.ServeHTTP(w, r)
			return
		}
		if r.ContentLength != 0 && r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(linger)) // not every test writer has one
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("not ready\n")) // the client may be gone
			return
		}
		_, _ = w.Write([]byte("ok\n")) // the client may be gone
	})
}
